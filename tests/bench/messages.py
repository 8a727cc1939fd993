"""The messages of a scenario, serialized beforehand into files that the generator sends as they are."""

import struct
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.duration_pb2 import Duration
from tests.bench.audio import VARIANTS, Pcm, looped
from tests.harness.client import leg as leg_message
from tests.harness.conference import participant

from recorder.v1 import media_pb2, recorder_service_pb2, recording_pb2
from recorder_service.audio.formats import Encoding, LegFormat

Request = recorder_service_pb2.RecordCallRequest
ConferenceRequest = recorder_service_pb2.RecordConferenceRequest

_ROLES = (recording_pb2.LEG_ROLE_CALLER, recording_pb2.LEG_ROLE_CALLEE)
_NAMES = ("caller", "callee")
_ENCODINGS = {
    Encoding.LINEAR16: recording_pb2.AUDIO_ENCODING_LINEAR16,
    Encoding.MULAW: recording_pb2.AUDIO_ENCODING_MULAW,
}


@dataclass(frozen=True, slots=True)
class Form:
    """What the messages of a call look like.

    Attributes:
        message_ms: Audio in one message, of all legs.
        seconds: Of voices in a call.
        silence_s: Of silence after them.
        legs: 1 or 2; more in a conference.
        conference: Send a conference's stream with all its legs.
        apart: Send each leg of a conference on a stream of its own.
        ncco: Keys of the record action beside its name.
        ack_interval_ms: As asked for in `open`.
    """

    message_ms: int
    seconds: float
    silence_s: float = 0.0
    legs: int = 2
    encoding: Encoding = Encoding.LINEAR16
    sample_rate_hz: int = 16_000
    ncco: Mapping[str, Any] = field(default_factory=dict)
    ack_interval_ms: int = 500
    conference: bool = False
    apart: bool = False

    @property
    def streams(self) -> int:
        """Streams of a call, or of a conference."""
        return self.legs if self.conference and self.apart else 1

    def legs_of(self, stream: int) -> range:
        """Return which legs are on a stream."""
        return range(stream, stream + 1) if self.streams > 1 else range(self.legs)

    @property
    def message_count(self) -> int:
        """Messages of audio on a stream."""
        return round((self.seconds + self.silence_s) * 1000 / self.message_ms)

    @property
    def leg_names(self) -> tuple[str, ...]:
        """The legs."""
        return tuple(f"leg-{number}" for number in range(self.legs)) if self.conference else _NAMES[: self.legs]


@dataclass(frozen=True, slots=True)
class Files:
    """Where the messages lie, and which recordings they will make.

    Attributes:
        openings: The first message of each stream; the streams of a conference follow each other.
        scripts: What follows; the streams take turns.
        recording_ids: Of calls.
    """

    openings: Path
    scripts: tuple[Path, ...]
    recording_ids: tuple[str, ...]


def write(form: Form, calls: int, directory: Path) -> Files:
    """Write the messages of so many calls."""
    recording_ids = tuple(str(uuid.uuid4()) for _ in range(calls))
    openings = directory / "openings"
    streams = range(form.streams)
    _write_messages(openings, (opening(form, call_id, stream) for call_id in recording_ids for stream in streams))
    scripts = []
    for variant, stream in product(range(min(VARIANTS, calls)), streams):
        scripts.append(directory / f"script-{variant}-{stream}")
        _write_messages(scripts[-1], script(form, variant, stream))
    return Files(openings, tuple(scripts), recording_ids)


def opening(form: Form, recording_id: str, stream: int = 0) -> bytes:
    """Return the first message of a call, or of a stream of a conference, which the id then gives its name."""
    if form.conference:
        return _joining(form, recording_id, stream)
    legs = [
        leg_message(name, role, _ENCODINGS[form.encoding], form.sample_rate_hz)
        for name, role in zip(form.leg_names, _ROLES, strict=False)
    ]
    start = recorder_service_pb2.StartCall(recording_id=recording_id, legs=legs)
    start.ncco.update({"action": "record", **form.ncco})
    wanted = recorder_service_pb2.OpenCall(start=start, ack_interval=_interval(form))
    return Request(sequence=1, open=wanted).SerializeToString()


def _joining(form: Form, name: str, stream: int) -> bytes:
    encoding = _ENCODINGS[form.encoding]
    legs = [participant(form.leg_names[leg], encoding, form.sample_rate_hz) for leg in form.legs_of(stream)]
    join = recorder_service_pb2.JoinConference(stream_id=str(uuid.uuid4()), name=f"bench {name}", legs=legs)
    join.ncco.update({"action": "record", **form.ncco})
    wanted = recorder_service_pb2.OpenConference(join=join, ack_interval=_interval(form))
    return ConferenceRequest(sequence=1, open=wanted).SerializeToString()


def _interval(form: Form) -> Duration:
    interval = Duration()
    interval.FromMilliseconds(form.ack_interval_ms)
    return interval


def script(form: Form, variant: int, stream: int = 0) -> Iterable[bytes]:
    """Yield the messages of a stream after the first: audio, and the one that hangs up."""
    kind: Any = ConferenceRequest if form.conference else Request
    names = [form.leg_names[leg] for leg in form.legs_of(stream)]
    payloads = [_payload(form, variant, leg) for leg in form.legs_of(stream)]
    frames = form.sample_rate_hz * form.message_ms // 1000
    step = frames * form.encoding.bytes_per_frame
    for index in range(form.message_count):
        chunks = [
            media_pb2.AudioChunk(
                leg_id=name, start_frame=index * frames, payload=data[index * step : (index + 1) * step]
            )
            for name, data in zip(names, payloads, strict=True)
        ]
        yield kind(sequence=index + 2, audio=media_pb2.Audio(chunks=chunks)).SerializeToString()
    last: Any = recorder_service_pb2.CloseConference() if form.conference else media_pb2.Close()
    yield kind(sequence=form.message_count + 2, close=last).SerializeToString()


def _payload(form: Form, variant: int, leg: int) -> bytes:
    pcm = looped(variant, leg, form.sample_rate_hz, form.seconds)
    silence = np.zeros(round(form.silence_s * form.sample_rate_hz), dtype=np.int16)
    return _encoded(np.concatenate((pcm, silence)), LegFormat(form.encoding, form.sample_rate_hz))


def _encoded(pcm: Pcm, leg_format: LegFormat) -> bytes:
    """Encode hours at once."""
    if leg_format.encoding is Encoding.LINEAR16:
        return pcm.astype("<i2", copy=False).tobytes()
    codes = np.frombuffer(leg_format.encode(range(-32_768, 32_768)), np.uint8)
    return codes[pcm.astype(np.int32) + 32_768].tobytes()


def _write_messages(path: Path, messages: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for message in messages:
            file.write(struct.pack("<I", len(message)) + message)
