"""Who may begin a recording."""

import uuid

import pytest
from tests.contract.catalog.values import an_application

from recorder_service.errors import Overloaded, Reason, RecorderError, Unavailable
from recorder_service.sessions.admission import Admission

SMALL = an_application(max_live_recordings=2)
USUAL = an_application(max_live_recordings=0)


def _refusal(admission: Admission, application: object = USUAL) -> RecorderError | None:
    try:
        admission.check(application)  # type: ignore[arg-type] # one of the two above
    except RecorderError as error:
        return error
    return None


def test_application_has_as_many_as_it_may_and_the_node_too() -> None:
    """The refusal says how many and when to ask again."""
    admission = Admission(3, room=lambda: None)
    for _ in range(2):
        assert _refusal(admission, SMALL) is None
        admission.add(uuid.uuid4(), SMALL.application_id)
    refused = _refusal(admission, SMALL)
    assert isinstance(refused, Overloaded)
    assert (refused.reason, refused.details) == (Reason.TOO_MANY_RECORDINGS, {"max_live_recordings": "2"})
    assert refused.retry_after_s is not None
    assert _refusal(admission) is None
    admission.add(uuid.uuid4(), USUAL.application_id)
    refused = _refusal(admission)
    assert refused is not None
    assert refused.details == {"max_live_recordings": "3"}


def test_ended_recording_makes_room_once() -> None:
    """However often its end is told."""
    admission, first = Admission(1, room=lambda: None), uuid.uuid4()
    admission.add(first, USUAL.application_id)
    for _ in range(3):
        admission.remove(first)
    assert _refusal(admission) is None
    admission.add(uuid.uuid4(), USUAL.application_id)
    assert _refusal(admission) is not None


@pytest.mark.parametrize("free", [True, False])
def test_full_disk_refuses_everybody(free: bool) -> None:
    """With the disk's own words."""
    full = Overloaded(Reason.DISK_FULL, "full", retry_after_s=30)
    assert _refusal(Admission(9, room=lambda: None if free else full)) is (None if free else full)


def test_node_that_goes_down_takes_nothing() -> None:
    """Elsewhere or later."""
    admission = Admission(9, room=lambda: None)
    admission.drain()
    refused = _refusal(admission)
    assert isinstance(refused, Unavailable)
    assert refused.reason is Reason.DRAINING
