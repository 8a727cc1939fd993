"""What a process did to its files, as strace saw it: calls in order, with every byte."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "openat,write,writev,pwrite64,pwritev,pwritev2,fdatasync,fsync,rename,renameat,renameat2,ftruncate,"
    "unlink,unlinkat,link,linkat,mkdir,mkdirat"
)

_LINE = re.compile(r"^(\d+)\s+(.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\)\s+=\s+(-?\d+)(.*)$", re.DOTALL)
_DESCRIPTOR = re.compile(r"^(\d+|AT_FDCWD)<([^>]*)>")
_NUMBER = re.compile(r"(?:^|, )(-?\d+)(?=,|$)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that succeeded.

    Attributes:
        name: As in the kernel.
        began: Number of the moment it began; moments are counted over the whole trace.
        path: The file of its descriptor, or the file it opened.
        descriptor: The descriptor it worked on or made; -1 if none.
        strings: Its buffers and paths.
        numbers: Its last plain numbers.
        flags: Its arguments as text, without strings.
        result: What it returned.
    """

    name: str
    began: int
    path: str
    descriptor: int
    strings: tuple[bytes, ...]
    numbers: tuple[int, ...]
    flags: str
    result: int


@dataclass(frozen=True, slots=True)
class Moment:
    """A call begins (`ended` is False) or has returned."""

    number: int
    call: Call
    ended: bool


def command(output: Path) -> tuple[str, ...]:
    """Return what to put before a command to trace it."""
    return (
        "strace", "-D", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}",
        "-e", "signal=none", "-o", str(output),
    )  # fmt: skip


def moments(trace: Path, first: int = 0) -> Iterator[Moment]:
    """Read a trace: every call twice, where it began and where it returned. Calls that failed are left out.

    Args:
        trace: What strace wrote.
        first: Number of the first moment.
    """
    lines = trace.read_text().splitlines()
    results = _results(lines)
    open_calls: dict[str, Call] = {}
    for number, line in enumerate(lines, first):
        match = _LINE.match(line)
        if match is None:
            continue
        pid, rest = match.groups()
        if _RESUMED.match(rest):
            if (call := open_calls.pop(pid, None)) is not None:
                yield Moment(number, call, ended=True)
        elif (call := _call(results.get(number - first, rest), number)) is not None:
            yield Moment(number, call, ended=False)
            if rest.endswith("<unfinished ...>"):
                open_calls[pid] = call
            else:
                yield Moment(number, call, ended=True)


def _results(lines: list[str]) -> dict[int, str]:
    """Join the halves of calls that other threads interrupted in the log, by the line where they began."""
    joined: dict[int, str] = {}
    began: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        match = _LINE.match(line)
        if match is None:
            continue
        pid, rest = match.groups()
        if rest.endswith("<unfinished ...>"):
            began[pid] = number, rest.removesuffix("<unfinished ...>").rstrip()
        elif (resumed := _RESUMED.match(rest)) and pid in began:
            first, half = began.pop(pid)
            joined[first] = half + resumed[2]
    return joined


def _call(text: str, number: int) -> Call | None:
    match = _CALL.match(text)
    if match is None or int(match[3]) < 0:
        return None
    name, arguments, result, after = match[1], match[2], int(match[3]), match[4]
    if any(cut for _, cut in _STRING.findall(arguments)):
        raise ValueError(f"strace cut a buffer of {name}: raise its -s")
    strings = tuple(_bytes(found) for found, _ in _STRING.findall(arguments))
    at = _DESCRIPTOR.match(f"{result}{after}" if name == "openat" else arguments)
    plain = _STRING.sub('""', arguments)
    numbers = tuple(int(part) for part in _NUMBER.findall(plain))
    descriptor = int(at[1]) if at and at[1].isdigit() else -1
    path = _bytes(at[2]).decode(errors="replace") if at and "\\x" in at[2] else (at[2] if at else "")
    return Call(name, number, path, descriptor, strings, numbers, plain, result)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
