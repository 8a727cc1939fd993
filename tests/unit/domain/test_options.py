"""Options as values: what follows from them, and the encoder's own settings."""

import pytest

from recorder_service.domain.options import (
    MP3_BITRATES_KBPS,
    EncoderOptions,
    FileFormat,
    RecordOptions,
    check_encoder,
    check_options,
    check_url,
)
from recorder_service.errors import BadInput, Reason


@pytest.mark.parametrize(
    ("options", "channels", "file_format"),
    [
        (RecordOptions(), 1, FileFormat.MP3),
        (RecordOptions(split=True), 2, FileFormat.MP3),
        (RecordOptions(split=True, channels=1), 1, FileFormat.MP3),
        (RecordOptions(split=True, channels=2), 2, FileFormat.MP3),
        (RecordOptions(split=True, channels=3), 3, FileFormat.WAV),
        (RecordOptions(split=True, channels=32), 32, FileFormat.WAV),
        (RecordOptions(format=FileFormat.WAV), 1, FileFormat.WAV),
        (RecordOptions(format=FileFormat.MP3, split=True), 2, FileFormat.MP3),
    ],
)
def test_channels_and_format_follow_from_split(options: RecordOptions, channels: int, file_format: FileFormat) -> None:
    """MP3 unless it cannot hold the channels."""
    checked = check_options(options, "options")
    assert (checked.channel_count, checked.file_format) == (channels, file_format)


@pytest.mark.parametrize(
    ("options", "synchronous"),
    [
        (RecordOptions(), False),
        (RecordOptions(time_out_s=60), False),
        (RecordOptions(beep_start=True, split=True), False),
        (RecordOptions(end_on_silence_s=3), True),
        (RecordOptions(end_on_key="0"), True),
        (RecordOptions(end_on_key="#", end_on_silence_s=3, time_out_s=60), True),
    ],
)
def test_silence_and_key_block_and_time_out_alone_does_not(options: RecordOptions, synchronous: bool) -> None:
    """The rule of the published action."""
    assert options.synchronous is synchronous


@pytest.mark.parametrize("bitrate_kbps", [*MP3_BITRATES_KBPS, None])
@pytest.mark.parametrize("quality", [0, 9, None])
def test_encoder_settings_that_exist_are_taken(bitrate_kbps: int | None, quality: int | None) -> None:
    """They come back as they are."""
    options = EncoderOptions(bitrate_kbps, quality)
    assert check_encoder(options, "encoder") is options


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (EncoderOptions(mp3_bitrate_kbps=33), "encoder.mp3_bitrate_kbps"),
        (EncoderOptions(mp3_bitrate_kbps=0), "encoder.mp3_bitrate_kbps"),
        (EncoderOptions(mp3_bitrate_kbps=320), "encoder.mp3_bitrate_kbps"),
        (EncoderOptions(mp3_quality=10), "encoder.mp3_quality"),
        (EncoderOptions(mp3_quality=-1), "encoder.mp3_quality"),
    ],
)
def test_encoder_setting_that_does_not_exist_is_refused(options: EncoderOptions, field: str) -> None:
    """Field, value and what is allowed are told."""
    with pytest.raises(BadInput) as refused:
        check_encoder(options, "encoder")
    assert refused.value.reason is Reason.INVALID_OPTION
    assert refused.value.details["field"] == field
    assert refused.value.details["allowed"]


def test_url_of_the_longest_length_is_taken_and_one_character_more_is_not() -> None:
    """2048 characters."""
    longest = "https://example.com/" + "x" * (2048 - 20)
    assert check_url(longest, "url") == longest
    with pytest.raises(BadInput):
        check_url(longest + "x", "url")
