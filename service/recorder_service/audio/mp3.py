"""The MP3 encoder: constant bitrate, with an Info frame that makes the decoded file exact to the frame."""

import struct

import lameenc
import numpy as np
from fastcrc.crc16 import arc as crc16
from numpy.typing import NDArray

from recorder_service.audio.finished import Finished
from recorder_service.errors import BadInput, Reason

DEFAULT_MONO_BITRATE_KBPS = 32
DEFAULT_SPLIT_BITRATE_KBPS = 64
DEFAULT_QUALITY = 5
MAX_CHANNELS = 2
# Index = bitrate field of the frame header, MPEG-2 Layer III (ISO/IEC 13818-3, 2.4.2.3); 0 is "free format".
_BITRATES_KBPS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
# MPEG-2 sampling frequency field. 22.05 kHz is left out: its frames differ in length by the padding bit.
_RATE_FIELDS = {24_000: 1, 16_000: 2}
_FRAMES_PER_MP3_FRAME = 576
_ENCODER_DELAY_FRAMES = 576
_ENCODER_NAME = b"LAME3.100"
_HAS_FRAMES, _HAS_BYTES = 0x1, 0x2


class Mp3Encoder:
    """Turns 16 bit PCM into an MP3 file of constant bitrate, piece by piece.

    Write `header` first, append what every `encode` and finally `finish` give, then write the finished header over the
    placeholder. The header is one MP3 frame without sound, the Info frame: it tells a decoder how many frames the
    encoder put before and after the audio, so that the decoded file has exactly the given frames, none shifted. It
    carries no seek table; in a file of constant bitrate a player finds its place by dividing, and without the table the
    Info frame fits the same bitrate as all others (except at 8 kbit/s, and 16 kbit/s stereo, where it takes the next
    size that holds it). The placeholder is a valid Info frame that claims nothing, so a file whose writer died plays.

    The bytes do not depend on how the PCM was cut into pieces. Encoding releases the GIL. Not for use by two threads at
    once.

    Source: ISO/IEC 11172-3 (Layer III) and ISO/IEC 13818-3 (low sampling frequencies) for the frame header; the Xing
    header and its LAME extension ("MP3 Info Tag", revision 1) for the Info frame.
    """

    def __init__(
        self,
        channels: int,
        bitrate_kbps: int = DEFAULT_MONO_BITRATE_KBPS,
        quality: int = DEFAULT_QUALITY,
        sample_rate_hz: int = 16_000,
    ) -> None:
        """Start an empty file.

        Args:
            channels: 1, or 2 (split: one leg a channel).
            bitrate_kbps: Of the whole file, both channels: one of MPEG-2's 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112,
                128, 144, 160.
            quality: LAME's search effort, 0 (best) to 9 (fastest).
            sample_rate_hz: Rate of all PCM given later: 16000 or 24000.

        Raises:
            BadInput: INVALID_OPTION if one of them is out of its range.
        """
        _check("channels", channels, range(1, MAX_CHANNELS + 1))
        _check("bitrate_kbps", bitrate_kbps, _BITRATES_KBPS[1:])
        _check("quality", quality, range(10))
        _check("sample_rate_hz", sample_rate_hz, sorted(_RATE_FIELDS))
        self._channels = channels
        self._bitrate_kbps = bitrate_kbps
        self._sample_rate_hz = sample_rate_hz
        self._lame = _open_lame(channels, bitrate_kbps, quality, sample_rate_hz)
        self._frames = 0
        self._stream_bytes = 0
        self._stream_crc = 0
        self.header = self._info_frame(flags=0, padding_frames=0)

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        """Give the bytes of the MP3 frames that some more PCM completed; often none.

        Args:
            pcm: int16, shape (channels, frames); any memory layout, any length.

        Raises:
            ValueError: If the shape does not fit the file's channels.
        """
        if pcm.ndim != 2 or pcm.shape[0] != self._channels:
            raise ValueError(f"pcm has shape {pcm.shape}; this file takes ({self._channels}, frames)")
        if pcm.shape[1] == 0:
            return b""
        self._frames += pcm.shape[1]
        # LAME reads the array itself; a mono one in one piece is not copied at all.
        return self._count(self._lame.encode(np.ascontiguousarray(pcm.T, dtype="<i2")))

    def finish(self) -> Finished:
        """Give the last MP3 frames and the Info frame; the encoder takes nothing more."""
        tail = self._count(self._lame.flush())
        mp3_frames = self._stream_bytes // self._mp3_frame_bytes(self._bitrate_kbps)
        padding_frames = mp3_frames * _FRAMES_PER_MP3_FRAME - _ENCODER_DELAY_FRAMES - self._frames
        return Finished(tail, self._info_frame(_HAS_FRAMES | _HAS_BYTES, padding_frames))

    def _count(self, piece: bytearray) -> bytes:
        self._stream_bytes += len(piece)
        data = bytes(piece)
        # CRC-16/ARC, as the MP3 Info Tag uses it for the audio and for itself.
        self._stream_crc = crc16(data, self._stream_crc)
        return data

    def _mp3_frame_bytes(self, bitrate_kbps: int) -> int:
        return _FRAMES_PER_MP3_FRAME // 8 * bitrate_kbps * 1000 // self._sample_rate_hz

    def _info_frame(self, flags: int, padding_frames: int) -> bytes:
        side_info = bytes(9 if self._channels == 1 else 17)
        flagged_bytes = 8 if flags else 0
        room = 4 + len(side_info) + 8 + 8 + 36
        bitrate_kbps = next(
            rate for rate in _BITRATES_KBPS if rate >= self._bitrate_kbps and self._mp3_frame_bytes(rate) >= room
        )
        size = self._mp3_frame_bytes(bitrate_kbps)
        total_bytes = size + self._stream_bytes
        counts = (self._stream_bytes // self._mp3_frame_bytes(self._bitrate_kbps), total_bytes)
        frame = self._frame_header(bitrate_kbps) + side_info + b"Info" + struct.pack(">I", flags)
        frame += struct.pack(">II", *counts)[:flagged_bytes]
        frame += self._lame_extension(padding_frames, total_bytes)
        frame += struct.pack(">H", crc16(frame))
        return frame.ljust(size, b"\0")

    def _frame_header(self, bitrate_kbps: int) -> bytes:
        """Build the 32 bits of an MP3 frame header: MPEG-2, Layer III, no CRC, no padding, original."""
        bitrate_and_rate = _BITRATES_KBPS.index(bitrate_kbps) << 4 | _RATE_FIELDS[self._sample_rate_hz] << 2
        mode = 0b11 if self._channels == 1 else 0b01
        return bytes((0xFF, 0xF3, bitrate_and_rate, mode << 6 | 1 << 2))

    def _lame_extension(self, padding_frames: int, total_bytes: int) -> bytes:
        """Build the 34 bytes after the Xing fields; what we do not know (peak, gain, low-pass, preset) is 0."""
        revision_and_cbr = 0x01
        mode = 0 if self._channels == 1 else 3
        delay_and_padding = (_ENCODER_DELAY_FRAMES << 12 | padding_frames).to_bytes(3, "big")
        return b"".join(
            (
                _ENCODER_NAME,
                bytes((revision_and_cbr, 0)),
                bytes(8),  # peak, track gain, album gain
                bytes((0, self._bitrate_kbps)),
                delay_and_padding,
                bytes((mode << 2, 0)),
                bytes(2),  # surround and preset
                struct.pack(">IH", total_bytes, self._stream_crc),
            )
        )


def _open_lame(channels: int, bitrate_kbps: int, quality: int, sample_rate_hz: int) -> lameenc.Encoder:
    lame = lameenc.Encoder()
    lame.silence()
    lame.set_channels(channels)
    lame.set_bit_rate(bitrate_kbps)
    lame.set_quality(quality)
    lame.set_in_sample_rate(sample_rate_hz)
    # Without this LAME would choose a lower rate by itself at low bitrates.
    lame.set_out_sample_rate(sample_rate_hz)
    # The first call takes the memory, and a file without audio can be flushed as well.
    lame.encode(b"")
    return lame


def _check(field: str, value: int, allowed: range | tuple[int, ...] | list[int]) -> None:
    if value in allowed:
        return
    choice = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else ", ".join(map(str, allowed))
    raise BadInput(
        Reason.INVALID_OPTION, f"{field} is {value}; an MP3 recording takes {choice}", field=field, value=value
    )
