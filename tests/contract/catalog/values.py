"""Domain values to store."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from recorder_service.domain.application import Application, ApplicationKey
from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.domain.options import EncoderOptions, FileFormat, HttpMethod, RecordOptions, Transcription
from recorder_service.domain.recording import (
    ConferenceFacts,
    FrameInterval,
    LegRole,
    LegStay,
    MutedInterval,
    PauseInterval,
    PauseMode,
    RecordedLeg,
    Recording,
    RecordingFile,
    RecordingKind,
    RecordingState,
    StopReason,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
RUNNING = frozenset({RecordingState.RECORDING, RecordingState.PAUSED})


def an_application(name: str = "Acme", **changes: Any) -> Application:
    key = ApplicationKey("key-1", "-----BEGIN PUBLIC KEY-----", NOW, NOW + timedelta(days=1))
    application = Application(
        application_id=uuid.uuid4(),
        name=name,
        api_key="abcd1234",
        signature_secret="s" * 32,
        create_time=NOW,
        update_time=NOW,
        event_url="https://example.com/events",
        event_method=HttpMethod.GET,
        retention=timedelta(days=7),
        max_live_recordings=12,
        keys=(key,),
    )
    return replace(application, **changes)


def a_recording(application_id: UUID, **changes: Any) -> Recording:
    recording = Recording(
        recording_id=uuid.uuid4(),
        application_id=application_id,
        conversation_id="CON-1",
        kind=RecordingKind.CALL,
        state=RecordingState.RECORDING,
        options=RecordOptions(split=True, end_on_key="#"),
        encoder=EncoderOptions(),
        start_time=NOW,
        metadata={"agent": "Zoë"},
        legs=(RecordedLeg("a", LegRole.CALLER, "MULAW", 8000, 0),),
        node_id="node-1",
    )
    return replace(recording, **changes)


def stopped(recording: Recording) -> Recording:
    return replace(
        recording,
        state=RecordingState.FINISHING,
        stop_reason=StopReason.HANGUP,
        end_time=NOW + timedelta(seconds=61),
        pauses=(PauseInterval(10, None, PauseMode.SILENCE), PauseInterval(0, 5, PauseMode.CUT)),
        damage=(FrameInterval(7, 9),),
    )


def completed(recording: Recording, **changes: Any) -> Recording:
    file = RecordingFile(
        file_id=recording.file_id,
        object_key=f"{recording.recording_id}.mp3",
        format=FileFormat.MP3,
        channels=2,
        bitrate_kbps=32,
        frames=976_000,
        size_bytes=244_000,
        sha256="ab" * 32,
    )
    done = replace(
        stopped(recording),
        state=RecordingState.AVAILABLE,
        available_time=NOW + timedelta(seconds=62),
        expire_time=NOW + timedelta(days=7),
        file=file,
    )
    return replace(done, **changes)


def a_full_recording() -> Recording:
    options = RecordOptions(
        format=FileFormat.WAV,
        split=True,
        channels=3,
        end_on_silence_s=5,
        end_on_key="*",
        time_out_s=60,
        beep_start=True,
        event_url="https://example.com/e",
        event_method=HttpMethod.GET,
        transcription=Transcription("en-GB", "https://example.com/t", HttpMethod.POST, sentiment_analysis=True),
    )
    base = a_recording(uuid.uuid4(), options=options, encoder=EncoderOptions(32, 5), event_count=4)
    stay = LegStay(0, 900, (MutedInterval(5, 7), MutedInterval(9)))
    legs = (replace(base.legs[0], stays=(stay, LegStay(950)), drift_ppb=-12_345), *base.legs[1:])
    return completed(
        replace(base, legs=legs, conference=ConferenceFacts("weekly", on_demand=True, began_frame=7)), failure="none"
    )


def a_delivery(recording: Recording, event_id: UUID | None = None, **changes: Any) -> Delivery:
    delivery = Delivery(
        delivery_id=uuid.uuid4(),
        application_id=recording.application_id,
        recording_id=recording.recording_id,
        event_id=event_id or uuid.uuid4(),
        url="https://example.com/events",
        method=HttpMethod.POST,
        body=b'{"size":244000}',
        state=DeliveryState.PENDING,
        create_time=NOW,
        next_attempt_time=NOW,
    )
    return replace(delivery, **changes)
