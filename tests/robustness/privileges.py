"""What scenarios need from the machine: mounts and network namespaces, which only root may make."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_TIMEOUT_S = 20.0
_PAGE_BYTES = 4096
_TRIES = 50


def run(*command: str) -> None:
    """Run a command of the system.

    Raises:
        RuntimeError: It failed; the message holds what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


def lacking_mounts() -> str | None:
    """Say why no small disk can be mounted here, None if it can."""
    if os.geteuid() != 0:
        return "mounting a small disk takes root"
    try:
        with small_disk(1 << 20):
            return None
    except RuntimeError as error:
        return str(error)


def lacking_networks() -> str | None:
    """Say why no network namespace can be made here, None if it can."""
    if os.geteuid() != 0:
        return "a network namespace takes root"
    if shutil.which("ip") is None:
        return "`ip` is missing: apt-get install iproute2"
    name = f"rec{os.getpid()}t"
    try:
        run("ip", "netns", "add", name)
    except RuntimeError as error:
        return str(error)
    run("ip", "netns", "del", name)
    return None


@contextlib.contextmanager
def small_disk(size_bytes: int) -> Iterator[Path]:
    """Mount a tmpfs of so many bytes: it is full exactly then, and forgets everything, which a full disk does not."""
    with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
        disk = Path(directory) / "disk"
        disk.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "robustness", str(disk))
        try:
            yield disk
        finally:
            run("umount", "--lazy", str(disk))


class Ballast:
    """A file that takes the room of a disk."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._path = disk / "ballast"

    @property
    def free_bytes(self) -> int:
        """Room on the disk."""
        found = os.statvfs(self._disk)
        return found.f_bavail * found.f_frsize

    def leave(self, free_bytes: int) -> None:
        """Grow until no more than this is free; may be done again while others take and give room."""
        with self._path.open("ab") as file:
            for _ in range(_TRIES):
                too_much = self.free_bytes - free_bytes
                if too_much < _PAGE_BYTES:
                    return
                # Somebody else may take room in between.
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), too_much)

    def drop(self) -> None:
        """Give all of it back."""
        self._path.unlink(missing_ok=True)
