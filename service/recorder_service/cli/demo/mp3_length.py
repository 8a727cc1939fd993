"""The exact length of an MP3 file, counted from its bytes and not believed from anybody."""

from dataclasses import dataclass

_BITRATES_KBPS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES_HZ = (22_050, 24_000, 16_000)
_FRAMES_PER_BLOCK = 576
_MONO = 3
# Side information of layer III in MPEG-2 stands between the header and the Info tag.
_SIDE_BYTES = {True: 9, False: 17}
# Optional parts of the Info tag by flag: number of frames, number of bytes, table of contents, quality.
_PART_BYTES = (4, 4, 100, 4)
_DELAYS_IN_LAME_TAG = 21


class NotMp3(ValueError):
    """The bytes are not MPEG-2 layer III with an Info tag."""


@dataclass(frozen=True, slots=True)
class Mp3Length:
    """What a gapless decoder makes of the file.

    Attributes:
        frames: Frames without the encoder's delay and padding.
        sample_rate_hz: Their rate.
        channels: 1 or 2.
    """

    frames: int
    sample_rate_hz: int
    channels: int


def measure(data: bytes) -> Mp3Length:
    """Walk over all MPEG frames and take off the delay and padding that the Info tag names.

    Source: ISO/IEC 13818-3 (header of layer III at the lower sampling frequencies); the Info tag as LAME writes it.

    Raises:
        NotMp3: If a frame does not begin where the one before ends, or there is no Info tag.
    """
    blocks, position = 0, 0
    while position < len(data):
        position += _block_bytes(data, position)
        blocks += 1
    mono = data[3] >> 6 == _MONO
    tag = 4 + _SIDE_BYTES[mono]
    if data[tag : tag + 4] not in {b"Info", b"Xing"}:
        raise NotMp3("the first MPEG frame holds no Info tag")
    flags = int.from_bytes(data[tag + 4 : tag + 8], "big")
    parts_bytes = sum(size for bit, size in enumerate(_PART_BYTES) if flags >> bit & 1)
    position = tag + 8 + parts_bytes + _DELAYS_IN_LAME_TAG
    delays = int.from_bytes(data[position : position + 3], "big")
    delay_frames, padding_frames = delays >> 12, delays & 0xFFF
    # The block with the Info tag holds no audio.
    frames = (blocks - 1) * _FRAMES_PER_BLOCK - delay_frames - padding_frames
    return Mp3Length(frames, _SAMPLE_RATES_HZ[data[2] >> 2 & 3], 1 if mono else 2)


def _block_bytes(data: bytes, position: int) -> int:
    """Give the size of the MPEG frame at a position."""
    header = data[position : position + 4]
    # Sync word, MPEG-2, layer III; with or without CRC.
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xFE != 0xF2:
        raise NotMp3(f"no MPEG-2 layer III frame begins at byte {position}")
    bitrate, rate, padded = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if not 0 < bitrate < len(_BITRATES_KBPS) or rate >= len(_SAMPLE_RATES_HZ):
        raise NotMp3(f"the frame at byte {position} has an invalid header")
    return 72_000 * _BITRATES_KBPS[bitrate] // _SAMPLE_RATES_HZ[rate] + padded
