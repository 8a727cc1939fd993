"""Room for downloads."""

from contextlib import ExitStack
from uuid import UUID, uuid4

import pytest

from recorder_service.errors import Overloaded, Reason
from recorder_service.http.slots import DownloadSlots

A, B = uuid4(), uuid4()


def test_total_is_the_bound_and_comes_back() -> None:
    """The one too many is refused with a time; after an end there is room again."""
    slots = DownloadSlots(3, 3, retry_after_s=7)
    with ExitStack() as held:
        for owner in (A, B, None):
            held.enter_context(slots.take(owner))
        with pytest.raises(Overloaded) as caught, slots.take(A):
            pass
        assert (caught.value.reason, caught.value.retry_after_s) == (Reason.OVERLOADED, 7)
        assert slots.taken == 3
    assert slots.taken == 0
    with slots.take(A):
        assert slots.taken == 1


@pytest.mark.parametrize("greedy", [A, None])
def test_one_application_cannot_take_all(greedy: UUID | None) -> None:
    """The others still find room."""
    slots = DownloadSlots(4, 2)
    with slots.take(greedy), slots.take(greedy):
        with pytest.raises(Overloaded), slots.take(greedy):
            pass
        with slots.take(B):
            assert slots.taken == 3


def test_slot_comes_back_after_an_error() -> None:
    """A download that breaks gives its room back."""
    slots = DownloadSlots(1, 1)
    with pytest.raises(RuntimeError), slots.take(A):
        raise RuntimeError
    assert slots.taken == 0
