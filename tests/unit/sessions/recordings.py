"""A recording to make live."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from recorder_service.domain.options import EncoderOptions, FileFormat, RecordOptions
from recorder_service.domain.recording import LegRole, RecordedLeg, Recording, RecordingKind, RecordingState

CALLER = RecordedLeg("caller", LegRole.CALLER, "MULAW", 8000, 0)
CALLEE = RecordedLeg("callee", LegRole.CALLEE, "LINEAR16", 16_000, 1)


def a_recording(**changes: Any) -> Recording:
    """A split WAV of two legs of different formats."""
    recording = Recording(
        recording_id=uuid.uuid4(),
        application_id=uuid.uuid4(),
        conversation_id="CON-1",
        kind=RecordingKind.CALL,
        state=RecordingState.RECORDING,
        options=RecordOptions(format=FileFormat.WAV, split=True),
        encoder=EncoderOptions(),
        start_time=datetime.now(UTC),
        legs=(CALLER, CALLEE),
        node_id="node-1",
    )
    return replace(recording, **changes)
