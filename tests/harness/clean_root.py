"""A root directory of its own for a command, in its own mount and network namespaces; needs root to be made.

It stands in for a container where there is no engine: a directory becomes `/`, mounted read-only if asked for, with the
host's libraries and this Python's own files bound into it, and a loopback interface that nobody else has.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

UID = 10001


def available() -> bool:
    """Whether this machine lets us make namespaces."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run(["unshare", "-m", "-n", "true"], capture_output=True, check=False).returncode == 0


@dataclass(frozen=True, slots=True)
class CleanRoot:
    """A directory that commands see as `/`.

    Attributes:
        directory: It; what a command writes is found there.
        tools: Whether /usr/bin is there; without, the only programs are this Python's and those of the directory.
        network: Whether commands share the host's network, as the build of an image does.
        writable: The only paths that can be written to, empty at the start; None: everything, and it stays.
    """

    directory: Path
    tools: bool
    network: bool
    writable: tuple[str, ...] | None = None

    def run(
        self, script: str, environment: Mapping[str, str], working_directory: str, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script as user 10001, with nothing else in its environment."""
        flags = ["-m"] if self.network else ["-m", "-n"]
        chroot = shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin:/bin") or "chroot"
        inner = [chroot, f"--userspec={UID}:{UID}", str(self.directory), *_SHELL]
        inner += [f"cd {shlex.quote(working_directory)}\n{script}"]
        setup = "\n".join([*self._setup(), "exec " + shlex.join(["env", "-i", *_pairs(environment), *inner])])
        return subprocess.run(
            ["unshare", *flags, "--", "bash", "-euc", setup],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def _setup(self) -> list[str]:
        root = self.directory
        lines = ["mount --make-rprivate /", f"mount --bind {root} {root}"]
        if not self.network:
            lines.append("ip link set lo up")
        for source in self._bound():
            lines += [f"mkdir -p {root}{source}", f"mount --bind -o ro {source} {root}{source}"]
        # Shell and what a script waits with; a Python image has them too.
        lines += [f"mkdir -p {root}/dev {root}/tmp", f"mount --rbind /dev {root}/dev"]
        for link, target in (("lib", "usr/lib"), ("lib64", "usr/lib64"), ("bin", "usr/bin")):
            lines.append(f"ln -sfn {target} {root}/{link}")
        if not self.tools:
            lines.append(f"mkdir -p {root}/usr/bin")
            for program in ("bash", "sleep"):
                lines += [
                    f"touch {root}/usr/bin/{program}",
                    f"mount --bind -o ro /usr/bin/{program} {root}/usr/bin/{program}",
                ]
        if self.writable is not None:
            for path in self.writable:
                lines += [
                    f"mkdir -p {root}{path}",
                    f"mount -t tmpfs -o uid={UID},gid={UID},mode=0700 tmpfs {root}{path}",
                ]
            lines.append(f"mount -o remount,ro,bind {root}")
        return lines

    def _bound(self) -> list[str]:
        libraries = ["/usr"] if self.tools else ["/usr/lib", "/usr/lib64"]
        return [*libraries, "/etc", sys.base_prefix]


_SHELL = ("/bin/bash", "-euo", "pipefail", "-c")


def _pairs(environment: Mapping[str, str]) -> Sequence[str]:
    return [f"{name}={value}" for name, value in environment.items()]
