"""The WAV encoder: linear PCM that may grow beyond 4 GiB."""

import struct

import numpy as np
from numpy.typing import NDArray

from recorder_service.audio.finished import Finished
from recorder_service.errors import BadInput, Reason

MAX_CHANNELS = 32
_BYTES_PER_SAMPLE = 2
_FORMAT_PCM = 0x0001
_FORMAT_EXTENSIBLE = 0xFFFE
_SUBTYPE_PCM = bytes.fromhex("0100000000001000800000aa00389b71")
_DS64_BODY_BYTES = 28
_UNKNOWN_SIZE = 0xFFFF_FFFF
# 2**32 - 1 itself is what RF64 writes for "see ds64".
_RIFF_LIMIT_BYTES = _UNKNOWN_SIZE - 1


class WavEncoder:
    """Turns 16 bit PCM into a WAV file, piece by piece.

    Write `header` first, append what every `encode` and finally `finish` give, then write the finished header over the
    placeholder. Until then the header says "size unknown" (all ones), which players read as "to the end of the file":
    a file whose writer died can still be played.

    Up to two channels the format is plain PCM; above, WAVE_FORMAT_EXTENSIBLE with a channel mask of 0, since the legs
    of a call are no loudspeakers. A JUNK chunk keeps room for the ds64 chunk of RF64: a file whose RIFF size exceeds
    `riff_limit_bytes` becomes RF64 by its header alone.

    Source: Microsoft/IBM Multimedia Programming Interface 1.0 (RIFF, WAVE); Microsoft WAVEFORMATEXTENSIBLE; EBU
    Tech 3306 (RF64, sections 3 and 4; the same as ITU-R BS.2088 for ds64).
    """

    def __init__(
        self, channels: int, sample_rate_hz: int = 16_000, *, riff_limit_bytes: int = _RIFF_LIMIT_BYTES
    ) -> None:
        """Start an empty file.

        Args:
            channels: Columns of the file, 1 to 32.
            sample_rate_hz: Rate of all PCM given later.
            riff_limit_bytes: Largest RIFF size (file size - 8) that stays RIFF; smaller ones are for tests.

        Raises:
            BadInput: INVALID_OPTION if `channels` is out of range.
        """
        if not 1 <= channels <= MAX_CHANNELS:
            raise BadInput(
                Reason.INVALID_OPTION,
                f"channels is {channels}; a WAV recording has 1 to {MAX_CHANNELS}",
                field="channels",
                value=channels,
            )
        self._channels = channels
        self._sample_rate_hz = sample_rate_hz
        self._riff_limit_bytes = riff_limit_bytes
        self._frames = 0
        self.header = self._render(b"RIFF", _UNKNOWN_SIZE, _UNKNOWN_SIZE, _chunk(b"JUNK", bytes(_DS64_BODY_BYTES)))

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        """Give the bytes of some frames, sample by sample in channel order, little-endian.

        Args:
            pcm: int16, shape (channels, frames); any memory layout, any length.

        Raises:
            ValueError: If the shape does not fit the file's channels.
        """
        if pcm.ndim != 2 or pcm.shape[0] != self._channels:
            raise ValueError(f"pcm has shape {pcm.shape}; this file takes ({self._channels}, frames)")
        self._frames += pcm.shape[1]
        # tobytes() writes in row order whatever the layout: interleaving costs this one copy.
        return pcm.T.astype("<i2", copy=False).tobytes()

    def finish(self) -> Finished:
        """Give the header with the true sizes; the tail is empty, as 16 bit data always has an even length."""
        data_bytes = self._frames * self._channels * _BYTES_PER_SAMPLE
        riff_bytes = len(self.header) - 8 + data_bytes
        if riff_bytes <= self._riff_limit_bytes:
            junk = _chunk(b"JUNK", bytes(_DS64_BODY_BYTES))
            return Finished(b"", self._render(b"RIFF", riff_bytes, data_bytes, junk))
        ds64 = _chunk(b"ds64", struct.pack("<QQQI", riff_bytes, data_bytes, self._frames, 0))
        return Finished(b"", self._render(b"RF64", _UNKNOWN_SIZE, _UNKNOWN_SIZE, ds64))

    def _render(self, form: bytes, riff_bytes: int, data_bytes: int, first_chunk: bytes) -> bytes:
        start = form + struct.pack("<I", riff_bytes) + b"WAVE"
        return start + first_chunk + _chunk(b"fmt ", self._format()) + b"data" + struct.pack("<I", data_bytes)

    def _format(self) -> bytes:
        align = self._channels * _BYTES_PER_SAMPLE
        tag = _FORMAT_PCM if self._channels <= 2 else _FORMAT_EXTENSIBLE
        rate_hz = self._sample_rate_hz
        body = struct.pack("<HHIIHH", tag, self._channels, rate_hz, rate_hz * align, align, 8 * _BYTES_PER_SAMPLE)
        if tag == _FORMAT_PCM:
            return body
        extension_bytes, valid_bits, channel_mask = 22, 8 * _BYTES_PER_SAMPLE, 0
        return body + struct.pack("<HHI", extension_bytes, valid_bits, channel_mask) + _SUBTYPE_PCM


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body
