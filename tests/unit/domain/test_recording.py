"""A recording as a value."""

import pytest
from tests.contract.catalog.values import an_application

from recorder_service.domain.application import Application
from recorder_service.domain.event import KeyPress
from recorder_service.domain.recording import RecordingState


@pytest.mark.parametrize("state", list(RecordingState))
def test_only_recording_and_paused_take_audio(state: RecordingState) -> None:
    """Everything else has ended."""
    assert state.live == (state.name in {"RECORDING", "PAUSED"})


def test_texts_for_people_hold_neither_digits_nor_secrets() -> None:
    """What a log prints of a key press or an application."""
    application: Application = an_application(signature_secret="hush-hush")
    assert "hush" not in repr(application)
    assert "7" not in repr(KeyPress("caller", "7", 1600))
