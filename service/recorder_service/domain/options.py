"""How to record: the options of the NCCO `record` action, checked."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from recorder_service.errors import BadInput, Reason

END_ON_KEYS = "0123456789*#"
MAX_CHANNELS = 32
MP3_MAX_CHANNELS = 2
MP3_BITRATES_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
END_ON_SILENCE_S = range(3, 11)
TIME_OUT_S = range(3, 7201)
MAX_URL_LENGTH = 2048


class FileFormat(enum.Enum):
    """Format of a file; the value is its NCCO spelling and its file extension."""

    MP3 = "mp3"
    WAV = "wav"


class HttpMethod(enum.Enum):
    """How a webhook is sent."""

    POST = "POST"
    GET = "GET"


@dataclass(frozen=True, slots=True)
class Transcription:
    """Settings kept for whoever transcribes the file; Recorder transcribes nothing itself."""

    language: str = ""
    event_url: str = ""
    event_method: HttpMethod = HttpMethod.POST
    sentiment_analysis: bool = False


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """The checked options of one recording.

    Attributes:
        format: None until `with_defaults` has chosen one.
        split: Whether parties are kept apart.
        channels: Channels of the file; None means 2 with split and 1 without.
        end_on_silence_s: Seconds of silence of everybody that end the recording.
        end_on_key: Key that ends the recording.
        time_out_s: Seconds after which the recording ends.
        beep_start: Whether a beep is played and recorded at the start.
        event_url: Where the record event goes; empty means to the application's URL.
        event_method: How it is sent.
        transcription: Settings to hand on; None means none were given.
    """

    format: FileFormat | None = None
    split: bool = False
    channels: int | None = None
    end_on_silence_s: int | None = None
    end_on_key: str | None = None
    time_out_s: int | None = None
    beep_start: bool = False
    event_url: str = ""
    event_method: HttpMethod = HttpMethod.POST
    transcription: Transcription | None = None

    @property
    def synchronous(self) -> bool:
        """Whether the caller's next action waits for this recording. `time_out_s` alone does not block."""
        return self.end_on_silence_s is not None or self.end_on_key is not None

    @property
    def channel_count(self) -> int:
        """Channels the file will have."""
        if self.channels is not None:
            return self.channels
        return 2 if self.split else 1

    @property
    def file_format(self) -> FileFormat:
        """Format the file will have: the one asked for, else MP3, else WAV where MP3 cannot hold the channels."""
        if self.format is not None:
            return self.format
        return FileFormat.WAV if self.channel_count > MP3_MAX_CHANNELS else FileFormat.MP3


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """Settings of the MP3 encoder; None means the service's default."""

    mp3_bitrate_kbps: int | None = None
    mp3_quality: int | None = None


def check_options(options: RecordOptions, field: str, names: Mapping[str, str] | None = None) -> RecordOptions:
    """Return `options` if every value is in its range and the values go together.

    Args:
        options: What was asked for.
        field: Path of the options in the request, put before the name of the field at fault.
        names: How the request spells the NCCO's names, where it spells them differently.

    Raises:
        BadInput: INVALID_OPTION, INVALID_URL or UNSUPPORTED_FORMAT, naming field, value and range.
    """
    spelled = names or {}
    silence, time_out = spelled.get("endOnSilence", "endOnSilence"), spelled.get("timeOut", "timeOut")
    key, url = spelled.get("endOnKey", "endOnKey"), spelled.get("eventUrl", "eventUrl")
    _in_range(options.end_on_silence_s, END_ON_SILENCE_S, f"{field}.{silence}", "whole seconds")
    _in_range(options.time_out_s, TIME_OUT_S, f"{field}.{time_out}", "whole seconds")
    _in_range(options.channels, range(1, MAX_CHANNELS + 1), f"{field}.channels", "channels")
    if options.end_on_key is not None and (len(options.end_on_key) != 1 or options.end_on_key not in END_ON_KEYS):
        raise BadInput(
            Reason.INVALID_OPTION,
            f"{field}.{key} must be one of 0-9, * and #",
            field=f"{field}.{key}",
            value="(not shown)",
            allowed="0-9*#",
        )
    if options.channels is not None and not options.split:
        raise BadInput(
            Reason.INVALID_OPTION,
            f'{field}.channels is {options.channels} but needs split: add "split": "conversation"',
            field=f"{field}.channels",
            value=options.channels,
        )
    _check_format(options, field)
    if options.event_url:
        check_url(options.event_url, f"{field}.{url}")
    if options.transcription is not None and options.transcription.event_url:
        check_url(options.transcription.event_url, f"{field}.transcription.{url}")
    return options


def check_encoder(options: EncoderOptions, field: str) -> EncoderOptions:
    """Return `options` if its values are ones the encoder has.

    Raises:
        BadInput: INVALID_OPTION, naming field, value and range.
    """
    if options.mp3_bitrate_kbps is not None and options.mp3_bitrate_kbps not in MP3_BITRATES_KBPS:
        allowed = ", ".join(map(str, MP3_BITRATES_KBPS))
        raise BadInput(
            Reason.INVALID_OPTION,
            f"{field}.mp3_bitrate_kbps is {options.mp3_bitrate_kbps} but must be one of {allowed}",
            field=f"{field}.mp3_bitrate_kbps",
            value=options.mp3_bitrate_kbps,
            allowed=allowed,
        )
    _in_range(options.mp3_quality, range(10), f"{field}.mp3_quality", "(0 is best, 9 is fastest)")
    return options


def check_url(url: str, field: str) -> str:
    """Return `url` if it is an absolute http or https URL without user information.

    Whether its address may be connected to is decided when it is connected to.

    Raises:
        BadInput: INVALID_URL.
    """
    if len(url) > MAX_URL_LENGTH:
        message = f"{field} has {len(url)} characters; at most {MAX_URL_LENGTH} are allowed"
        raise BadInput(Reason.INVALID_URL, message, field=field, value=url)
    try:
        parts = urlsplit(url)
        problem = _url_problem(url, parts.scheme, parts.hostname, parts.port, parts.username)
    except ValueError as error:
        problem = str(error)
    if problem:
        raise BadInput(
            Reason.INVALID_URL,
            f"{field} is not a usable URL ({problem}); give an absolute one such as https://example.com/events",
            field=field,
            value=url,
        )
    return url


def _url_problem(url: str, scheme: str, host: str | None, port: int | None, username: str | None) -> str:
    problems = (
        (not url.isprintable() or " " in url, "it holds spaces or control characters"),
        (scheme not in {"http", "https"}, "its scheme is not http or https"),
        (not host, "it names no host"),
        (port == 0, "its port is 0"),
        (username is not None, "it holds user information"),
    )
    return next((text for wrong, text in problems if wrong), "")


def _check_format(options: RecordOptions, field: str) -> None:
    if options.format is FileFormat.MP3 and options.channel_count > MP3_MAX_CHANNELS:
        raise BadInput(
            Reason.UNSUPPORTED_FORMAT,
            f"{field}.format is mp3, which holds at most 2 channels, but channels is {options.channel_count}: "
            'use "format": "wav"',
            field=f"{field}.format",
            value="mp3",
        )


def _in_range(value: int | None, allowed: range, field: str, unit: str) -> None:
    if value is not None and value not in allowed:
        raise BadInput(
            Reason.INVALID_OPTION,
            f"{field} is {value} but must be {allowed.start} to {allowed.stop - 1} {unit}",
            field=field,
            value=value,
            allowed=f"{allowed.start}..{allowed.stop - 1}",
        )
