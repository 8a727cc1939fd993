"""Values that tests of webhooks start from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from recorder_service.domain.application import Application
from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.domain.options import EncoderOptions, FileFormat, HttpMethod, RecordOptions
from recorder_service.domain.recording import Recording, RecordingFile, RecordingKind, RecordingState
from recorder_service.webhooks.record_event import record_event_body

NOW = datetime(2026, 3, 1, 12, 0, 41, 744321, tzinfo=UTC)
SECRET = "s3cret-" * 8
APPLICATION = Application(
    UUID("2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f"), "test", "12ab34cd", SECRET, NOW, NOW, event_url="https://e.example/"
)
FILE = RecordingFile(
    UUID("aaaaaaaa-0000-4000-8000-00000000000f"), "a/b.mp3", FileFormat.MP3, 1, 32, 640_000, 162_558, "0" * 64
)
RECORDING = Recording(
    recording_id=UUID("bbbbbbbb-0000-4000-8000-000000000001"),
    application_id=APPLICATION.application_id,
    conversation_id="CON-cccccccc-0000-4000-8000-000000000002",
    kind=RecordingKind.CALL,
    state=RecordingState.AVAILABLE,
    options=RecordOptions(),
    encoder=EncoderOptions(),
    start_time=NOW - timedelta(seconds=41),
    end_time=NOW - timedelta(seconds=1),
    file_id=FILE.file_id,
    file=FILE,
)
BODY = record_event_body(RECORDING, public_url="https://rec.example", time=NOW)


def new_delivery(url: str, method: HttpMethod = HttpMethod.POST, body: bytes = BODY) -> Delivery:
    return Delivery(
        delivery_id=UUID("dddddddd-0000-4000-8000-000000000003"),
        application_id=APPLICATION.application_id,
        recording_id=RECORDING.recording_id,
        event_id=UUID("eeeeeeee-0000-4000-8000-000000000004"),
        url=url,
        method=method,
        body=body,
        state=DeliveryState.PENDING,
        create_time=NOW,
        next_attempt_time=NOW,
    )


def in_conversation(conversation_id: str) -> Recording:
    return replace(RECORDING, conversation_id=conversation_id)
