"""Values of the domain and messages of the contract name the same things."""

import enum
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.contract.catalog.values import NOW, a_delivery, a_full_recording, an_application

from recorder.v1 import event_pb2, recording_pb2, webhook_pb2
from recorder_service.api import conversions, requests
from recorder_service.audio.formats import Encoding
from recorder_service.domain.delivery import DeliveryState
from recorder_service.domain.event import Event, EventType, KeyPress
from recorder_service.domain.options import FileFormat, HttpMethod, RecordOptions
from recorder_service.domain.recording import LegRole, PauseMode, RecordingKind, RecordingState, StopReason


class Urls:
    """Files are at a place."""

    def url(self, file_id: uuid.UUID) -> str:
        """Name it."""
        return f"https://r.example/v1/files/{file_id}"


@pytest.mark.parametrize(
    ("domain", "wire", "prefix"),
    [
        (RecordingState, recording_pb2.RecordingState, "RECORDING_STATE_"),
        (RecordingKind, recording_pb2.RecordingKind, "RECORDING_KIND_"),
        (StopReason, recording_pb2.StopReason, "STOP_REASON_"),
        (LegRole, recording_pb2.LegRole, "LEG_ROLE_"),
        (PauseMode, recording_pb2.PauseMode, "PAUSE_MODE_"),
        (FileFormat, recording_pb2.FileFormat, "FILE_FORMAT_"),
        (HttpMethod, recording_pb2.HttpMethod, "HTTP_METHOD_"),
        (Encoding, recording_pb2.AudioEncoding, "AUDIO_ENCODING_"),
        (EventType, event_pb2.EventType, "EVENT_TYPE_"),
        (DeliveryState, webhook_pb2.DeliveryState, "DELIVERY_STATE_"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_value_has_its_number_and_every_number_but_zero_its_value(
    domain: type[enum.Enum], wire: Any, prefix: str
) -> None:
    """One to one, by name."""
    assert {f"{prefix}{value.name}" for value in domain} == set(wire.keys()) - {f"{prefix}UNSPECIFIED"}
    assert wire.Value(f"{prefix}UNSPECIFIED") == 0


@pytest.mark.parametrize(
    "table",
    [conversions.FILE_FORMATS, conversions.HTTP_METHODS, conversions.PAUSE_MODES, requests._ENCODINGS],
)
def test_tables_hold_all_values_once(table: dict[Any, Any]) -> None:
    """There and back is the same."""
    assert len(set(table.values())) == len(table)
    names = {key.__class__ if isinstance(key, enum.Enum) else value.__class__ for key, value in table.items()}
    for kind in names:
        if issubclass(kind, enum.Enum):
            assert len(table) == len(kind)


@pytest.mark.parametrize("state", list(RecordingState))
def test_state_there_and_back(state: RecordingState) -> None:
    """Filters read what answers say."""
    assert recording_pb2.RecordingState.Name(conversions.state_message(state)) == f"RECORDING_STATE_{state.name}"


@pytest.mark.parametrize("event_type", list(EventType))
def test_event_type_has_its_number(event_type: EventType) -> None:
    """By name."""
    assert event_pb2.EventType.Name(conversions.event_type_message(event_type)) == f"EVENT_TYPE_{event_type.name}"


def test_full_recording_loses_nothing_its_owner_may_see() -> None:
    """Every field of the message is set; the object's key and the node stay inside."""
    recording = a_full_recording()
    message = conversions.recording_message(recording, Urls())
    unset = {field.name for field in message.DESCRIPTOR.fields} - {field.name for field, _ in message.ListFields()}
    assert unset == set()
    assert message.recording_id == str(recording.recording_id)
    assert message.file.url == f"https://r.example/v1/files/{recording.file_id}"
    assert message.file.duration.ToTimedelta() == timedelta(seconds=976_000 / 16_000)
    assert [pause.HasField("end_frame") for pause in message.pauses] == [False, True]
    text = str(message)
    assert recording.file is not None
    assert recording.file.object_key not in text
    assert recording.node_id not in text


def test_options_are_echoed_with_their_defaults() -> None:
    """What is left out is filled in; what is optional and unset stays absent."""
    message = conversions.options_message(RecordOptions(split=True, channels=3))
    assert (message.format, message.channels) == (recording_pb2.FILE_FORMAT_WAV, 3)
    assert message.event_method == recording_pb2.HTTP_METHOD_POST
    for name in ("end_on_silence", "end_on_key", "time_out", "event_url", "transcription"):
        assert not message.HasField(name)
    assert not conversions.options_message(RecordOptions()).HasField("split")


def test_echoed_options_are_read_as_the_same_options() -> None:
    """A client may send back what it was told."""
    options = a_full_recording().options
    assert requests._typed_options(conversions.options_message(options), "typed") == options


def test_times_and_lengths_keep_their_microseconds() -> None:
    """None stays absent."""
    time = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
    message = conversions.timestamp(time)
    assert message is not None
    assert message.ToDatetime(UTC) == time
    length = conversions.duration(timedelta(seconds=-1, microseconds=1))
    assert length is not None
    assert length.ToTimedelta() == timedelta(seconds=-1, microseconds=1)
    absent = (conversions.timestamp(None), conversions.duration(None), conversions.seconds(None))
    assert absent == (None, None, None)


def test_application_is_shown_without_its_secret() -> None:
    """Everything else is there."""
    application = an_application(signature_secret="hush-hush")
    message = conversions.application_message(application)
    assert "hush" not in str(message)
    assert message.keys[0].expire_time.ToDatetime(UTC) == NOW + timedelta(days=1)
    assert message.retention.ToTimedelta() == timedelta(days=7)


def test_delivery_is_shown_without_its_body() -> None:
    """It holds what the webhook holds, but the address and the progress are what is asked for."""
    delivery = a_delivery(a_full_recording(), body=b"hush-hush", attempts=3, last_status=503, last_error="busy")
    message = conversions.delivery_message(delivery)
    assert "hush" not in str(message)
    assert (message.attempts, message.last_status, message.last_error) == (3, 503, "busy")
    assert not message.HasField("last_attempt_time")


@pytest.mark.parametrize("duration_ms", [None, 0, 250])
def test_key_press_is_told_with_its_length_where_known(duration_ms: int | None) -> None:
    """0 is a length."""
    recording = a_full_recording()
    press = KeyPress("a", "5", 16_000, duration_ms)
    event = Event(uuid.uuid4(), EventType.DTMF, NOW, recording.application_id, 2, recording, key_press=press)
    message = conversions.event_message(event, "cursor", Urls())
    assert (message.dtmf.leg_id, message.dtmf.digit, message.dtmf.frame) == ("a", "5", 16_000)
    assert message.dtmf.HasField("duration") is (duration_ms is not None)
    assert message.WhichOneof("detail") == "dtmf"
