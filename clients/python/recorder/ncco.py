"""The NCCO `record` action, made and found; and the start of a call from it.

Source: the Vonage Voice API's NCCO reference, action `record`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recorder.v1.recorder_service_pb2 import StartCall
from recorder.v1.recording_pb2 import LEG_ROLE_CALLEE, LEG_ROLE_CALLER, AudioEncoding, Leg

_END_KEYS = frozenset("0123456789*#")
_MAX_CHANNELS = 32


def record_action(
    *,
    file_format: str | None = None,
    split: bool = False,
    channels: int | None = None,
    end_on_silence_s: int | None = None,
    end_on_key: str | None = None,
    time_out_s: int | None = None,
    beep_start: bool = False,
    event_url: str | None = None,
    event_method: str | None = None,
    transcription: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Make a record action that the server will take; what is left out has the server's default.

    >>> record_action(end_on_silence_s=3, end_on_key="#", beep_start=True)
    {'action': 'record', 'endOnSilence': 3, 'endOnKey': '#', 'beepStart': True}
    >>> record_action(channels=2)
    Traceback (most recent call last):
        ...
    ValueError: channels is 2 but needs split=True

    Args:
        file_format: `mp3` or `wav`.
        split: One party a channel.
        channels: How many channels, 1 to 32; needs `split`.
        end_on_silence_s: Everybody silent so long ends it, 3 to 10.
        end_on_key: The key that ends it: 0-9, `*` or `#`.
        time_out_s: The longest it may last, 3 to 7200.
        beep_start: Whether the caller hears a beep first.
        event_url: Where the record event goes, in place of the application's URL.
        event_method: `POST` or `GET`.
        transcription: Options of a transcription; kept and echoed, `{}` asks for one with defaults.

    Raises:
        ValueError: A value is outside of its range; the text names it.
    """
    _one_of("file_format", file_format, ("mp3", "wav"))
    _one_of("event_method", event_method, ("POST", "GET"))
    _within("channels", channels, 1, _MAX_CHANNELS)
    _within("end_on_silence_s", end_on_silence_s, 3, 10)
    _within("time_out_s", time_out_s, 3, 7200)
    if channels is not None and not split:
        raise ValueError(f"channels is {channels} but needs split=True")
    if end_on_key is not None and end_on_key not in _END_KEYS:
        raise ValueError(f"end_on_key is {end_on_key!r} but must be one of 0-9, * and #")
    fields: dict[str, object] = {
        "format": file_format,
        "split": "conversation" if split else None,
        "channels": channels,
        "endOnSilence": end_on_silence_s,
        "endOnKey": end_on_key,
        "timeOut": time_out_s,
        "beepStart": beep_start or None,
        "eventUrl": None if event_url is None else [event_url],
        "eventMethod": event_method,
        "transcription": None if transcription is None else dict(transcription),
    }
    return {"action": "record", **{key: value for key, value in fields.items() if value is not None}}


def find_record_action(ncco: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Find the first record action of an NCCO; None where there is none.

    >>> find_record_action([{"action": "talk", "text": "Hello"}, {"action": "record", "format": "wav"}])
    {'action': 'record', 'format': 'wav'}
    """
    return next((action for action in ncco if action.get("action") == "record"), None)


def caller(encoding: str = "linear16", sample_rate_hz: int = 16_000, leg_id: str = "caller") -> Leg:
    """Describe the party that called.

    >>> caller("mulaw", 8000).leg_id
    'caller'

    Args:
        encoding: `linear16` (16 bit little-endian), `mulaw` or `alaw`.
        sample_rate_hz: Rate of what will be written.
        leg_id: Its name in `Call.write`.
    """
    return Leg(leg_id=leg_id, role=LEG_ROLE_CALLER, encoding=_encoding(encoding), sample_rate_hz=sample_rate_hz)


def callee(encoding: str = "linear16", sample_rate_hz: int = 16_000, leg_id: str = "callee") -> Leg:
    """Describe the party that was called; the arguments are those of `caller`."""
    return Leg(leg_id=leg_id, role=LEG_ROLE_CALLEE, encoding=_encoding(encoding), sample_rate_hz=sample_rate_hz)


def start_call(
    legs: Sequence[Leg],
    action: Mapping[str, Any] | None = None,
    *,
    conversation_id: str = "",
    metadata: Mapping[str, str] | None = None,
) -> StartCall:
    """Say what is recorded, for `Client.record_call`.

    >>> start = start_call([caller(), callee()], record_action(split=True), metadata={"ticket": "42"})
    >>> start.ncco["split"], [leg.leg_id for leg in start.legs]
    ('conversation', ['caller', 'callee'])

    Args:
        legs: The caller, and the callee where there is one.
        action: A record action, one's own or one that an SDK made; None means the server's defaults.
        conversation_id: `CON-` and a UUID; empty lets the server make one.
        metadata: Labels that the recording's events carry.
    """
    start = StartCall(legs=legs, conversation_id=conversation_id, metadata=metadata)
    if action is not None:
        start.ncco.update(dict(action))
    return start


def _encoding(name: str) -> AudioEncoding.ValueType:
    _one_of("encoding", name, ("linear16", "mulaw", "alaw"))
    return AudioEncoding.Value(f"AUDIO_ENCODING_{name.upper()}")


def _one_of(name: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise ValueError(f"{name} is {value!r} but must be one of {', '.join(allowed)}")


def _within(name: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise ValueError(f"{name} is {value} but must be {low} to {high}")
