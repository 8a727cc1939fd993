"""Messages of the contract as JSON."""

from recorder.v1.event_pb2 import EVENT_TYPE_DTMF, Event, EventType
from recorder.v1.recording_pb2 import (
    FILE_FORMAT_MP3,
    RECORDING_STATE_AVAILABLE,
    Recording,
    RecordingFile,
    RecordingState,
)
from recorder_service.cli.message_json import enum_value, short_names, to_json


def test_enums_lose_their_prefix_and_sizes_are_numbers() -> None:
    """The state reads AVAILABLE, and 64 bit integers are not strings."""
    file = RecordingFile(format=FILE_FORMAT_MP3, size_bytes=7_370_000_000)
    value = to_json(Recording(state=RECORDING_STATE_AVAILABLE, file=file))
    assert value["state"] == "AVAILABLE"
    assert value["file"]["format"] == "MP3"
    assert value["file"]["size_bytes"] == 7_370_000_000


def test_absent_messages_are_left_out_and_zeros_are_kept() -> None:
    """A recording that runs has no end_time, and an empty list of pauses."""
    value = to_json(Recording(metadata={"b": "2", "a": "1"}))
    assert "end_time" not in value
    assert "stop_reason" not in value
    assert value["pauses"] == []
    assert list(value["metadata"].items()) == [("a", "1"), ("b", "2")]


def test_times_and_durations_are_those_of_protobuf() -> None:
    """Timestamps are RFC 3339 in UTC, durations seconds with `s`."""
    recording = Recording()
    recording.start_time.FromJsonString("2026-01-02T03:04:05.5Z")
    recording.file.duration.FromMilliseconds(20_500)
    value = to_json(recording)
    assert value["start_time"] == "2026-01-02T03:04:05.500Z"
    assert value["file"]["duration"] == "20.500s"


def test_detail_of_an_event_is_shown_only_where_it_is_set() -> None:
    """Of a oneof only the member that is set appears."""
    event = Event(type=EVENT_TYPE_DTMF)
    event.dtmf.digit = "5"
    value = to_json(event)
    assert value["dtmf"]["digit"] == "5"
    assert "delivery" not in value


def test_short_names_are_understood_in_any_case() -> None:
    """`recording-completed` and `RECORDING_COMPLETED` are the same; UNSPECIFIED and unknown names are none."""
    descriptor = EventType.DESCRIPTOR
    assert enum_value(descriptor, "recording-completed") == enum_value(descriptor, "RECORDING_COMPLETED") == 6
    assert enum_value(descriptor, "unspecified") is None
    assert enum_value(descriptor, "nonsense") is None
    assert short_names(RecordingState.DESCRIPTOR)[:2] == ["RECORDING", "PAUSED"]
