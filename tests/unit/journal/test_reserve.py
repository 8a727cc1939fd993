"""Room kept aside."""

from pathlib import Path

from recorder_service.journal.reserve import Reserve


def test_reserve_takes_its_room_and_gives_it_up(tmp_path: Path) -> None:
    """The blocks are really taken, not only a length."""
    reserve = Reserve(tmp_path, 1024 * 1024)
    reserve.set_up()
    reserve.set_up()
    status = (tmp_path / "reserve").stat()
    assert status.st_size == 1024 * 1024
    assert status.st_blocks * 512 >= 1024 * 1024
    assert reserve.give_up()
    assert not reserve.give_up()
    assert not (tmp_path / "reserve").exists()


def test_reserve_does_not_fill_the_disk(tmp_path: Path) -> None:
    """With less than twice its room it waits for better times."""
    Reserve(tmp_path, 2**50).set_up()
    assert not (tmp_path / "reserve").exists()


def test_reserve_of_nothing_is_no_file(tmp_path: Path) -> None:
    """It can be switched off."""
    Reserve(tmp_path, 0).set_up()
    assert list(tmp_path.iterdir()) == []
