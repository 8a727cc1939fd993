"""Values come back from JSON as they were."""

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from tests.contract.catalog.values import NOW, a_delivery, a_full_recording, a_recording, an_application

from recorder_service.catalog.documents import dump, dump_recording, load, load_recording
from recorder_service.catalog.event_rows import Detail
from recorder_service.domain.application import Application
from recorder_service.domain.delivery import Delivery
from recorder_service.domain.event import KeyPress, LegChange
from recorder_service.domain.options import EncoderOptions, FileFormat, RecordOptions
from recorder_service.domain.recording import (
    LegRole,
    PauseInterval,
    PauseMode,
    RecordedLeg,
    Recording,
    RecordingKind,
    RecordingState,
)
from recorder_service.errors import Damaged, Reason

# What version 1 stores; it must be readable forever. A change here needs a migration of the documents.
GOLDEN = (
    '{"recording_id":"11111111-1111-4111-8111-111111111111","application_id":"22222222-2222-4222-8222-222222222222",'
    '"conversation_id":"CON-1","kind":"call","state":"paused","options":{"format":"wav","split":true,'
    '"beep_start":false,"event_url":"","event_method":"POST"},"encoder":{},"start_time":1772600767891011,'
    '"file_id":"33333333-3333-4333-8333-333333333333",'
    '"metadata":{"agent":"Zoë"},"legs":[{"leg_id":"a","role":"caller","encoding":"MULAW","sample_rate_hz":8000,'
    '"channel":0,"frames":0,"gap_frames":0,"late_frames":0,"repeated_frames":0,"first_frame":0,"end_frame":0}],'
    '"pauses":[{"start_frame":5,"end_frame":null,"mode":"cut"}],"damage":[],"failure":"","node_id":"n"}'
)
GOLDEN_VALUE = Recording(
    recording_id=uuid.UUID("11111111-1111-4111-8111-111111111111"),
    application_id=uuid.UUID("22222222-2222-4222-8222-222222222222"),
    conversation_id="CON-1",
    kind=RecordingKind.CALL,
    state=RecordingState.PAUSED,
    options=RecordOptions(format=FileFormat.WAV, split=True),
    encoder=EncoderOptions(),
    start_time=datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC),
    file_id=uuid.UUID("33333333-3333-4333-8333-333333333333"),
    metadata={"agent": "Zoë"},
    legs=(RecordedLeg("a", LegRole.CALLER, "MULAW", 8000, 0),),
    pauses=(PauseInterval(5, None, PauseMode.CUT),),
    node_id="n",
    event_count=7,
)


def test_stored_format_does_not_change() -> None:
    """A document of version 1 is written and read as it always was."""
    assert dump_recording(GOLDEN_VALUE) == GOLDEN
    assert load_recording(GOLDEN, 7) == GOLDEN_VALUE


def test_full_recording_comes_back() -> None:
    """A recording with every field set survives."""
    recording = a_full_recording()
    assert load_recording(dump_recording(recording), recording.event_count) == recording


def test_application_comes_back() -> None:
    """An application with keys and retention survives."""
    application = an_application()
    assert load(Application, dump(application)) == application


def test_body_of_any_bytes_comes_back() -> None:
    """Bytes that are no text survive."""
    delivery = a_delivery(a_recording(uuid.uuid4()), body=bytes(range(256)), next_attempt_time=None)
    assert load(Delivery, dump(delivery)) == delivery


def test_detail_comes_back() -> None:
    """A key press survives, with and without a duration, and so does a leg that came or went."""
    for press in (KeyPress("a", "5", 3), KeyPress("a", "*", 3, 80)):
        assert load(Detail, dump(Detail(key_press=press))) == Detail(key_press=press)
    change = Detail(leg=LegChange("a", 16_000, 3))
    assert load(Detail, dump(change)) == change


def test_event_count_is_not_in_the_document() -> None:
    """The number of events is the database's, so the document has none that could differ."""
    assert "event_count" not in json.loads(dump_recording(a_recording(uuid.uuid4(), event_count=3)))


def test_unknown_keys_and_missing_defaults_are_read() -> None:
    """A document of a slightly newer version and one of an older version can both be read."""
    document = json.loads(GOLDEN)
    document["invented_later"] = [1]
    del document["failure"]
    del document["damage"]
    assert load_recording(json.dumps(document), 7) == GOLDEN_VALUE


def test_times_of_other_zones_are_the_same_instant() -> None:
    """A time given with an offset comes back in UTC, to the microsecond."""
    offset = timezone(timedelta(hours=5, minutes=30))
    recording = a_recording(uuid.uuid4(), start_time=NOW.astimezone(offset))
    loaded = load_recording(dump_recording(recording), 0)
    assert loaded.start_time == NOW
    assert loaded.start_time.tzinfo is UTC


def test_time_without_zone_is_refused() -> None:
    """A naive time is a mistake of the caller."""
    with pytest.raises(ValueError, match="no time zone"):
        dump_recording(a_recording(uuid.uuid4(), start_time=NOW.replace(tzinfo=None)))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", "{", '{"recording_id":"x"}', GOLDEN.replace('"call"', '"opera"')]
)
def test_damaged_document_is_reported(text: str) -> None:
    """Text that is no recording is told as damage, without its content."""
    with pytest.raises(Damaged) as caught:
        load_recording(text, 1)
    assert caught.value.reason is Reason.DAMAGED
    assert "opera" not in caught.value.message


def test_documents_of_changed_values_differ() -> None:
    """No field is left out: changing any one changes the document."""
    full = replace(
        a_full_recording(), conversation_id="CON-2", kind=RecordingKind.CONFERENCE, start_time=NOW, metadata={}, legs=()
    )
    earlier = replace(GOLDEN_VALUE, start_time=NOW - timedelta(microseconds=1))
    for name in (field for field in Recording.__slots__ if field != "event_count"):
        changes: dict[str, Any] = {name: getattr(earlier, name)}
        assert dump_recording(replace(full, **changes)) != dump_recording(full), name
