"""The messages of a scenario, serialized beforehand into files that the generator sends as they are."""

import struct
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.duration_pb2 import Duration
from tests.bench.audio import VARIANTS, looped
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

    @property
    def message_count(self) -> int:
        """Messages of audio in a call."""
        return round((self.seconds + self.silence_s) * 1000 / self.message_ms)

    @property
    def leg_names(self) -> tuple[str, ...]:
        """The legs."""
        return tuple(f"leg-{number}" for number in range(self.legs)) if self.conference else _NAMES[: self.legs]


@dataclass(frozen=True, slots=True)
class Files:
    """Where the messages lie, and which recordings they will make."""

    openings: Path
    scripts: tuple[Path, ...]
    recording_ids: tuple[str, ...]


def write(form: Form, calls: int, directory: Path) -> Files:
    """Write the messages of so many calls."""
    recording_ids = tuple(str(uuid.uuid4()) for _ in range(calls))
    openings = directory / "openings"
    _write_messages(openings, (opening(form, recording_id) for recording_id in recording_ids))
    scripts = []
    for variant in range(min(VARIANTS, calls)):
        scripts.append(directory / f"script-{variant}")
        _write_messages(scripts[-1], script(form, variant))
    return Files(openings, tuple(scripts), recording_ids)


def opening(form: Form, recording_id: str) -> bytes:
    """Return the first message of a call, or of a conference, whose stream's id this then is."""
    if form.conference:
        return _joining(form, recording_id)
    legs = [
        leg_message(name, role, _ENCODINGS[form.encoding], form.sample_rate_hz)
        for name, role in zip(form.leg_names, _ROLES, strict=False)
    ]
    start = recorder_service_pb2.StartCall(recording_id=recording_id, legs=legs)
    start.ncco.update({"action": "record", **form.ncco})
    wanted = recorder_service_pb2.OpenCall(start=start, ack_interval=_interval(form))
    return Request(sequence=1, open=wanted).SerializeToString()


def _joining(form: Form, stream_id: str) -> bytes:
    legs = [participant(name, _ENCODINGS[form.encoding], form.sample_rate_hz) for name in form.leg_names]
    join = recorder_service_pb2.JoinConference(stream_id=stream_id, name=f"bench {stream_id}", legs=legs)
    join.ncco.update({"action": "record", **form.ncco})
    wanted = recorder_service_pb2.OpenConference(join=join, ack_interval=_interval(form))
    return ConferenceRequest(sequence=1, open=wanted).SerializeToString()


def _interval(form: Form) -> Duration:
    interval = Duration()
    interval.FromMilliseconds(form.ack_interval_ms)
    return interval


def script(form: Form, variant: int) -> Iterable[bytes]:
    """Yield the messages after the first: audio, and the one that hangs up."""
    kind: Any = ConferenceRequest if form.conference else Request
    payloads = [_payload(form, variant, leg) for leg in range(form.legs)]
    frames = form.sample_rate_hz * form.message_ms // 1000
    step = frames * form.encoding.bytes_per_frame
    for index in range(form.message_count):
        chunks = [
            media_pb2.AudioChunk(
                leg_id=name, start_frame=index * frames, payload=data[index * step : (index + 1) * step]
            )
            for name, data in zip(form.leg_names, payloads, strict=True)
        ]
        yield kind(sequence=index + 2, audio=media_pb2.Audio(chunks=chunks)).SerializeToString()
    last: Any = recorder_service_pb2.CloseConference() if form.conference else media_pb2.Close()
    yield kind(sequence=form.message_count + 2, close=last).SerializeToString()


def _payload(form: Form, variant: int, leg: int) -> bytes:
    pcm = looped(variant, leg, form.sample_rate_hz, form.seconds)
    silence = np.zeros(round(form.silence_s * form.sample_rate_hz), dtype=np.int16)
    return LegFormat(form.encoding, form.sample_rate_hz).encode(np.concatenate((pcm, silence)))


def _write_messages(path: Path, messages: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for message in messages:
            file.write(struct.pack("<I", len(message)) + message)
