"""The record event: the body of a webhook that tells of a finished file.

Exactly the seven keys that code written for the Voice API parses, in its order, and no other: published parsers guess
the type of an event by the keys they find.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from recorder_service.domain.recording import Recording
from recorder_service.errors import Reason, RecorderError


def recording_url(public_url: str, file_id: UUID) -> str:
    """Return where a file is downloaded from: `<public_url>/v1/files/<file id>`."""
    return f"{public_url.rstrip('/')}/v1/files/{file_id}"


def record_event_body(recording: Recording, *, public_url: str, time: datetime) -> bytes:
    """Return the body of the record event, the exact bytes that are signed and sent.

    Args:
        recording: It must have its file and its end.
        public_url: Base of `recording_url`, as receivers reach it.
        time: When the event was made.

    Raises:
        RecorderError: INTERNAL; the recording has no file to tell of. An event without a file is never sent.
    """
    if recording.file is None or recording.end_time is None or recording.file.size_bytes <= 0:
        raise RecorderError(
            Reason.INTERNAL, f"recording {recording.recording_id} has no file yet; only finished ones have an event"
        )
    return compact_json(
        {
            "start_time": _whole_seconds(recording.start_time),
            "recording_url": recording_url(public_url, recording.file.file_id),
            "size": recording.file.size_bytes,
            "recording_uuid": str(recording.recording_id),
            "end_time": _whole_seconds(recording.end_time),
            "conversation_uuid": recording.conversation_id,
            "timestamp": _milliseconds(time),
        }
    )


def compact_json(value: Mapping[str, str | int]) -> bytes:
    """Return flat JSON as JavaScript's `JSON.stringify` writes it, so that parsing and rebuilding give the same bytes.

    Source: ECMA-262, QuoteJSONString: only quotes, backslashes and control characters are escaped.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def _whole_seconds(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
