"""Requests to begin a recording, checked field by field."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.harness.client import leg, two_legs
from tests.unit.domain.option_table import KEYS, LIMITS, NO_URLS, URLS, Fault, actions, judge

from recorder.v1 import recorder_service_pb2, recording_pb2, recording_service_pb2
from recorder_service.api.requests import optional_time, pause_mode, start_request, timedelta_of
from recorder_service.domain.options import EncoderOptions, FileFormat, HttpMethod, RecordOptions, Transcription
from recorder_service.domain.recording import LegRole, PauseMode
from recorder_service.errors import BadInput, Reason

CALLEE = recording_pb2.LEG_ROLE_CALLEE


def _start(**fields: Any) -> recorder_service_pb2.StartCall:
    return recorder_service_pb2.StartCall(**({"legs": two_legs()} | fields))


def test_least_request_gets_all_defaults() -> None:
    """A caller alone."""
    wanted = start_request(_start(legs=[leg()]))
    assert wanted.options == RecordOptions()
    assert wanted.encoder == EncoderOptions()
    assert wanted.application_id is None
    assert wanted.conversation_id.startswith("CON-")
    assert uuid.UUID(wanted.conversation_id[4:]).version == wanted.recording_id.version == 4
    assert (wanted.metadata, wanted.warnings) == ({}, ())
    assert [(one.leg_id, one.role, one.encoding) for one in wanted.legs] == [("caller", LegRole.CALLER, "LINEAR16")]


def test_full_request_is_read_whole() -> None:
    """Typed options, spelled out."""
    recording_id, application_id = uuid.uuid4(), uuid.uuid4()
    conversation_id = f"CON-{uuid.uuid4()}"
    typed = recording_pb2.RecordOptions(
        format=recording_pb2.FILE_FORMAT_WAV,
        split=recording_pb2.SPLIT_CONVERSATION,
        channels=3,
        end_on_silence=Duration(seconds=4),
        end_on_key="*",
        time_out=Duration(seconds=7200),
        beep_start=True,
        event_url="https://example.com/e",
        event_method=recording_pb2.HTTP_METHOD_GET,
        transcription=recording_pb2.Transcription(
            language="en", event_url="https://example.com/t", sentiment_analysis=True
        ),
    )
    wanted = start_request(
        _start(
            recording_id=str(recording_id).upper(),
            application_id=str(application_id),
            conversation_id=conversation_id,
            typed=typed,
            encoder={"mp3_bitrate_kbps": 8, "mp3_quality": 0},
            metadata={"k": "v", "k" * 64: "v" * 512},
        )
    )
    assert wanted.recording_id == recording_id
    assert wanted.application_id == application_id
    assert wanted.conversation_id == conversation_id
    assert wanted.encoder == EncoderOptions(8, 0)
    assert wanted.metadata == {"k": "v", "k" * 64: "v" * 512}
    assert wanted.options == RecordOptions(
        format=FileFormat.WAV,
        split=True,
        channels=3,
        end_on_silence_s=4,
        end_on_key="*",
        time_out_s=7200,
        beep_start=True,
        event_url="https://example.com/e",
        event_method=HttpMethod.GET,
        transcription=Transcription("en", "https://example.com/t", HttpMethod.POST, sentiment_analysis=True),
    )


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"recording_id": "x"}, "recording_id", Reason.INVALID_FIELD),
        ({"recording_id": uuid.uuid4().hex}, "recording_id", Reason.INVALID_FIELD),
        ({"recording_id": f"urn:uuid:{uuid.uuid4()}"}, "recording_id", Reason.INVALID_FIELD),
        ({"application_id": "x"}, "application_id", Reason.INVALID_FIELD),
        ({"conversation_id": str(uuid.uuid4())}, "conversation_id", Reason.INVALID_FIELD),
        ({"conversation_id": f"CON-{uuid.uuid4()}\n"}, "conversation_id", Reason.INVALID_FIELD),
        ({"legs": []}, "legs", Reason.INVALID_FIELD),
        ({"legs": [leg("b", CALLEE)]}, "legs", Reason.INVALID_FIELD),
        ({"legs": [leg("a"), leg("b")]}, "legs", Reason.DUPLICATE_LEG),
        ({"legs": [leg("a"), leg("a", CALLEE)]}, "legs", Reason.DUPLICATE_LEG),
        ({"legs": [leg("a"), leg("b", CALLEE), leg("c", CALLEE)]}, "legs", Reason.DUPLICATE_LEG),
        ({"legs": [leg("")]}, "legs[0].leg_id", Reason.INVALID_FIELD),
        ({"legs": [leg("a b")]}, "legs[0].leg_id", Reason.INVALID_FIELD),
        ({"legs": [leg("é")]}, "legs[0].leg_id", Reason.INVALID_FIELD),
        ({"legs": [leg("a\n")]}, "legs[0].leg_id", Reason.INVALID_FIELD),
        ({"legs": [leg("a"), leg("x" * 65, CALLEE)]}, "legs[1].leg_id", Reason.INVALID_FIELD),
        ({"legs": [{"leg_id": "a"}]}, "legs[0].role", Reason.INVALID_FIELD),
        ({"legs": [{"leg_id": "a", "role": 1}]}, "legs[0].encoding", Reason.INVALID_FIELD),
        ({"legs": [{"leg_id": "a", "role": 1, "encoding": 1}]}, "legs[0].sample_rate_hz", Reason.INVALID_FIELD),
        ({"legs": [{"leg_id": "a", "role": 9, "encoding": 1}]}, "legs[0].role", Reason.INVALID_FIELD),
        ({"typed": {"format": 0}}, "typed.format", Reason.INVALID_FIELD),
        ({"typed": {"format": 3}}, "typed.format", Reason.INVALID_FIELD),
        ({"typed": {"split": 0}}, "typed.split", Reason.INVALID_FIELD),
        ({"typed": {"event_method": 0}}, "typed.event_method", Reason.INVALID_FIELD),
        ({"typed": {"transcription": {"event_method": 0}}}, "typed.transcription.event_method", Reason.INVALID_FIELD),
        ({"encoder": {"mp3_bitrate_kbps": 0}}, "encoder.mp3_bitrate_kbps", Reason.INVALID_OPTION),
        ({"encoder": {"mp3_quality": 10}}, "encoder.mp3_quality", Reason.INVALID_OPTION),
        ({"metadata": {str(key): "" for key in range(33)}}, "metadata", Reason.INVALID_FIELD),
        ({"metadata": {"": ""}}, "metadata['']", Reason.INVALID_FIELD),
        ({"metadata": {"k": "v" * 513}}, "metadata['k']", Reason.INVALID_FIELD),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_field_at_fault_is_named(fields: Mapping[str, Any], field: str, reason: Reason) -> None:
    """By its path in the request."""
    with pytest.raises(BadInput) as refused:
        start_request(_start(**fields))
    assert refused.value.details["field"] == f"open.start.{field}"
    assert refused.value.reason is reason
    assert "value" in refused.value.details


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_json_does_not_have_is_refused(number: float) -> None:
    """However deep it lies."""
    start = _start()
    start.ncco.update({"transcription": {"language": [number]}})
    with pytest.raises(BadInput) as refused:
        start_request(start)
    assert refused.value.reason is Reason.INVALID_OPTION


def test_unknown_keys_of_an_action_are_told() -> None:
    """And the rest is taken."""
    start = _start()
    start.ncco.update({"action": "record", "wheels": 4})
    assert [warning.split()[0] for warning in start_request(start).warnings] == ["open.start.ncco.wheels"]


@given(action=actions)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_actions_mean_the_same_as_a_message(action: dict[str, Any]) -> None:
    """A Struct has no integers: 3 arrives as 3.0 and means 3."""
    start = _start()
    start.ncco.update(action)
    verdict = judge(action)
    try:
        options = start_request(start).options
    except BadInput as refused:
        assert (refused.details["field"].removeprefix("open.start.ncco."), refused.reason.name) in verdict.faults  # noqa: PT017
        return
    assert verdict.accepted
    assert options.time_out_s == verdict.values.get("timeOut")
    assert options.end_on_key == verdict.values.get("endOnKey")


_durations = st.builds(
    Duration,
    seconds=st.one_of(st.integers(0, 15), st.sampled_from([7200, 7201, -3, 2**62])),
    nanos=st.sampled_from([0, 0, 0, 0, 1, 500_000_000, -1]),
)
_typed = st.fixed_dictionaries(
    {},
    optional={
        "format": st.sampled_from([1, 2, 1, 2, 0, 3]),
        "split": st.sampled_from([1, 1, 1, 1, 0, 2]),
        "channels": st.one_of(st.integers(1, 4), st.sampled_from([0, 32, 33, 2**32 - 1])),
        "end_on_silence": _durations,
        "end_on_key": st.one_of(st.sampled_from(KEYS), st.sampled_from(["", "A", "12", "٣"])),
        "time_out": _durations,
        "beep_start": st.booleans(),
        "event_url": st.one_of(st.sampled_from(URLS), st.sampled_from(NO_URLS)),
        "event_method": st.sampled_from([1, 2, 1, 2, 0, 7]),
    },
)


def _judge_typed(typed: Mapping[str, Any]) -> set[Fault]:
    """Say what is wrong with typed options, as the contract's comments say."""
    faults: set[Fault] = {
        (name, "INVALID_FIELD")
        for name, known in (("format", {1, 2}), ("split", {1}), ("event_method", {1, 2}))
        if name in typed and typed[name] not in known
    }
    for name, spelled in (("end_on_silence", "endOnSilence"), ("time_out", "timeOut")):
        low, high = LIMITS[spelled]
        if name in typed and (typed[name].nanos or not low <= typed[name].seconds <= high):
            faults.add((name, "INVALID_OPTION"))
    channels = typed.get("channels")
    if channels is not None and ("split" not in typed or not 1 <= channels <= 32):
        faults.add(("channels", "INVALID_OPTION"))
    if "end_on_key" in typed and (len(typed["end_on_key"]) != 1 or typed["end_on_key"] not in KEYS):
        faults.add(("end_on_key", "INVALID_OPTION"))
    if typed.get("format") == 1 and channels is not None and channels > 2:
        faults.add(("format", "UNSUPPORTED_FORMAT"))
    if typed.get("event_url") in set(NO_URLS) - {""}:
        faults.add(("event_url", "INVALID_URL"))
    return faults


@given(typed=_typed)
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_typed_options_are_taken_or_refused_as_the_contract_says(typed: dict[str, Any]) -> None:
    """1000 objects: the same verdict, and the values as they were sent."""
    faults = _judge_typed(typed)
    try:
        options = start_request(_start(typed=recording_pb2.RecordOptions(**typed))).options
    except BadInput as refused:
        told = refused.details["field"].removeprefix("open.start.typed."), refused.reason.name
        assert told in faults, f"{refused.message} but the contract says {faults}"  # noqa: PT017
        return
    assert faults == set()
    assert options.split is ("split" in typed)
    assert options.channels == typed.get("channels")
    assert options.end_on_key == typed.get("end_on_key")
    assert options.end_on_silence_s == (typed["end_on_silence"].seconds if "end_on_silence" in typed else None)
    assert options.event_url == typed.get("event_url", "")


@pytest.mark.parametrize("seconds", [2**62, -(2**62), 10**14])
def test_endless_duration_is_a_bad_field(seconds: int) -> None:
    """Not an error of the service's own."""
    with pytest.raises(BadInput) as refused:
        timedelta_of(Duration(seconds=seconds), "retention")
    assert refused.value.details["field"] == "retention"


@pytest.mark.parametrize("seconds", [2**62, -(2**62)])
def test_time_out_of_every_calendar_is_a_bad_field(seconds: int) -> None:
    """And an absent one is none."""
    request = recording_service_pb2.ListRecordingsRequest(start_time_from=Timestamp(seconds=seconds))
    with pytest.raises(BadInput):
        optional_time(request, "start_time_from", "start_time_from")
    assert optional_time(request, "start_time_before", "start_time_before") is None


def test_pause_mode_absent_means_silence_and_zero_is_refused() -> None:
    """The contract's default."""
    assert pause_mode(recording_service_pb2.PauseRecordingRequest(), "mode") is PauseMode.SILENCE
    assert (
        pause_mode(recording_service_pb2.PauseRecordingRequest(mode=recording_pb2.PAUSE_MODE_CUT), "mode")
        is PauseMode.CUT
    )
    with pytest.raises(BadInput):
        pause_mode(recording_service_pb2.PauseRecordingRequest(mode=recording_pb2.PAUSE_MODE_UNSPECIFIED), "mode")
