"""Samples: what payloads hold, as arrays to calculate with."""

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recorder_service.audio.formats import Encoding, LegFormat, Payload
from recorder_service.audio.g711 import a_law_sample, mu_law_sample

Pcm = NDArray[np.int16]
"""Linear samples, int16. Shape and rate are said where it is used."""


def decode(payload: Payload, leg_format: LegFormat) -> Pcm:
    """Turn a payload into samples.

    Returns:
        pcm: int16, shape (frames,), the leg's own rate. LINEAR16 may share the payload's memory and is then
        read-only.

    Raises:
        BadInput: PARTIAL_FRAME when the payload ends within a frame.
    """
    leg_format.frame_count(len(payload))
    if leg_format.encoding is Encoding.LINEAR16:
        return np.frombuffer(payload, dtype="<i2").astype(np.int16, copy=False)
    sample_of = mu_law_sample if leg_format.encoding is Encoding.MULAW else a_law_sample
    return _table(sample_of)[np.frombuffer(payload, dtype=np.uint8)]


@functools.cache
def _table(sample_of: Callable[[int], int]) -> Pcm:
    """Decode every byte."""
    table = np.array([sample_of(code) for code in range(256)], dtype=np.int16)
    table.flags.writeable = False
    return table
