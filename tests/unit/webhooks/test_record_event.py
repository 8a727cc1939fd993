import json
from dataclasses import replace
from datetime import timedelta, timezone

import pytest
from tests.unit.webhooks.webhook_values import BODY, FILE, NOW, RECORDING, in_conversation

from recorder_service.errors import Reason, RecorderError
from recorder_service.webhooks.record_event import compact_json, record_event_body, recording_url


def test_body_is_exactly_the_seven_keys() -> None:
    """Keys, order, types and spellings are those of a captured record event."""
    assert BODY == (
        b'{"start_time":"2026-03-01T12:00:00Z",'
        b'"recording_url":"https://rec.example/v1/files/aaaaaaaa-0000-4000-8000-00000000000f",'
        b'"size":162558,'
        b'"recording_uuid":"bbbbbbbb-0000-4000-8000-000000000001",'
        b'"end_time":"2026-03-01T12:00:40Z",'
        b'"conversation_uuid":"CON-cccccccc-0000-4000-8000-000000000002",'
        b'"timestamp":"2026-03-01T12:00:41.744Z"}'
    )


def test_times_are_told_in_utc() -> None:
    """A time of another zone becomes UTC; whole seconds cut off, never round up past the end."""
    zone = timezone(timedelta(hours=5, minutes=30))
    recording = replace(
        RECORDING, start_time=NOW.astimezone(zone), end_time=(NOW + timedelta(seconds=0.9)).astimezone(zone)
    )
    event = json.loads(record_event_body(recording, public_url="", time=NOW.replace(microsecond=0).astimezone(zone)))
    assert event["start_time"] == "2026-03-01T12:00:41Z"
    assert event["end_time"] == "2026-03-01T12:00:42Z"
    assert event["timestamp"] == "2026-03-01T12:00:41.000Z"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a/b", '"a/b"'),
        ("\u00e4\u20ac\U0001f600", '"\u00e4\u20ac\U0001f600"'),
        ("\u2028\u2029\x7f", '"\u2028\u2029\x7f"'),
        ('"\\', '"\\"\\\\"'),
        ("\b\f\n\r\t", '"\\b\\f\\n\\r\\t"'),
        ("\0\x1f", '"\\u0000\\u001f"'),
        ("<&>", '"<&>"'),
    ],
)
def test_text_is_written_as_javascript_writes_it(text: str, written: str) -> None:
    """JSON.stringify(JSON.parse(body)) === body holds for every kind of character."""
    body = record_event_body(in_conversation(text), public_url="https://rec.example", time=NOW)
    assert f'"conversation_uuid":{written},'.encode() in body
    assert compact_json(json.loads(body)) == body


def test_event_without_a_file_is_never_made() -> None:
    """No file, an empty file or no end: an error of the service, not an event."""
    for recording in (
        replace(RECORDING, file=None),
        replace(RECORDING, file=replace(FILE, size_bytes=0)),
        replace(RECORDING, end_time=None),
    ):
        with pytest.raises(RecorderError) as caught:
            record_event_body(recording, public_url="https://rec.example", time=NOW)
        assert caught.value.reason is Reason.INTERNAL


def test_recording_url_has_one_slash() -> None:
    """A base with or without a slash at its end gives the same URL."""
    expected = f"https://rec.example/base/v1/files/{FILE.file_id}"
    assert recording_url("https://rec.example/base/", FILE.file_id) == expected
    assert recording_url("https://rec.example/base", FILE.file_id) == expected
