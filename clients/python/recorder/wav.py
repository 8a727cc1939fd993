"""Reading the WAV files that calls are made of: one leg each, as it would come from a telephone line."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from recorder import g711

SAMPLE_RATES_HZ = (8_000, 16_000, 24_000, 32_000, 44_100, 48_000)
ENCODINGS = ("linear16", "mulaw", "alaw")

_PCM, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE
_LAWS = {_A_LAW: "alaw", _MU_LAW: "mulaw"}
_PCM_BITS = (8, 16, 24, 32)
# Chunk size of a writer that could not seek back: the data goes on to the end of the file.
_UNKNOWN_SIZE = 0xFFFF_FFFF


class UnreadableWav(ValueError):
    """The file is not one that a leg can be made of; the message says what to do."""


@dataclass(frozen=True, slots=True)
class WavAudio:
    """One leg's samples.

    Attributes:
        encoding: `linear16`, `mulaw` or `alaw`.
        sample_rate_hz: One of `SAMPLE_RATES_HZ`.
        payload: The samples in that encoding.
    """

    encoding: str
    sample_rate_hz: int
    payload: bytes

    @property
    def frame_bytes(self) -> int:
        """Size of one frame."""
        return 2 if self.encoding == "linear16" else 1

    @property
    def frames(self) -> int:
        """Length in frames at the leg's own rate."""
        return len(self.payload) // self.frame_bytes

    def encoded(self, encoding: str) -> "WavAudio":
        """Give the same audio in another encoding."""
        if encoding == self.encoding:
            return self
        linear = self.payload if self.encoding == "linear16" else g711.decode(self.encoding, self.payload)
        payload = linear if encoding == "linear16" else g711.encode(encoding, linear)
        return replace(self, encoding=encoding, payload=payload)


def read_wav(path: Path) -> WavAudio:
    """Read a mono WAV file: PCM of 8, 16, 24 or 32 bit (as 16 bit) or G.711, at a rate that Recorder takes.

    Source: Microsoft/IBM Multimedia Programming Interface 1.0 (RIFF, WAVE), WAVEFORMATEXTENSIBLE.

    Raises:
        UnreadableWav: If it is something else; the message says how to convert it.
        OSError: If it cannot be read.
    """
    file = path.read_bytes()
    if file[:4] != b"RIFF" or file[8:12] != b"WAVE":
        raise UnreadableWav(f"{path} is not a WAV file; {_convert(path)}")
    chunks = dict(_chunks(file))
    if len(chunks.get(b"fmt ", b"")) < 16 or b"data" not in chunks:
        raise UnreadableWav(f"{path} has no `fmt ` or no `data` chunk; {_convert(path)}")
    tag, channels, sample_rate_hz, _, _, bits = struct.unpack("<HHIIHH", chunks[b"fmt "][:16])
    if tag == _EXTENSIBLE and len(chunks[b"fmt "]) >= 26:
        (tag,) = struct.unpack("<H", chunks[b"fmt "][24:26])
    if channels != 1:
        raise UnreadableWav(
            f"{path} has {channels} channels, a leg is mono; split it, as with: "
            f"ffmpeg -i {path} -af 'pan=mono|c0=c0' caller.wav -af 'pan=mono|c0=c1' callee.wav"
        )
    if sample_rate_hz not in SAMPLE_RATES_HZ:
        raise UnreadableWav(f"{path} has {sample_rate_hz} Hz, not one of {SAMPLE_RATES_HZ}; {_convert(path)}")
    if tag in _LAWS and bits == 8:
        return WavAudio(_LAWS[tag], sample_rate_hz, chunks[b"data"])
    if tag != _PCM or bits not in _PCM_BITS:
        raise UnreadableWav(f"{path} holds format {tag} of {bits} bit, neither PCM nor G.711; {_convert(path)}")
    return WavAudio("linear16", sample_rate_hz, _as_16_bit(chunks[b"data"], bits // 8))


def _chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(file):
        name, size = struct.unpack_from("<4sI", file, position)
        yield name, file[position + 8 : None if size == _UNKNOWN_SIZE else position + 8 + size]
        # Chunks begin at even offsets.
        position += 8 + size + size % 2


def _as_16_bit(data: bytes, sample_bytes: int) -> bytes:
    """Keep the two most significant bytes of every sample; 8 bit samples are unsigned and get a zero below."""
    samples = len(data) // sample_bytes
    data = data[: samples * sample_bytes]
    if sample_bytes == 2:
        return data
    linear = bytearray(2 * samples)
    if sample_bytes == 1:
        linear[1::2] = data.translate(bytes(value ^ 0x80 for value in range(256)))
    else:
        linear[0::2] = data[sample_bytes - 2 :: sample_bytes]
        linear[1::2] = data[sample_bytes - 1 :: sample_bytes]
    return bytes(linear)


def _convert(path: Path) -> str:
    return f"convert it, as with: ffmpeg -i {path} -ac 1 -ar 16000 -c:a pcm_s16le leg.wav"
