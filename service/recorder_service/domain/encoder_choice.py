"""What the service chooses of an encoder's settings."""

from typing import Protocol

from recorder_service.domain.options import EncoderOptions, FileFormat, RecordOptions


class EncoderDefaults(Protocol):
    """The service's encoder settings."""

    @property
    def mp3_bitrate_kbps(self) -> int:
        """For mono."""

    @property
    def mp3_split_bitrate_kbps(self) -> int:
        """For split."""

    @property
    def mp3_quality(self) -> int:
        """LAME quality."""


def chosen_encoder(options: RecordOptions, asked: EncoderOptions, defaults: EncoderDefaults) -> EncoderOptions:
    """Fill in what the service chooses, so that it stays the same whatever the service is set to later."""
    if options.file_format is FileFormat.WAV:
        return EncoderOptions()
    bitrate_kbps = defaults.mp3_bitrate_kbps if options.channel_count == 1 else defaults.mp3_split_bitrate_kbps
    return EncoderOptions(
        mp3_bitrate_kbps=bitrate_kbps if asked.mp3_bitrate_kbps is None else asked.mp3_bitrate_kbps,
        mp3_quality=defaults.mp3_quality if asked.mp3_quality is None else asked.mp3_quality,
    )
