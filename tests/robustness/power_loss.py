"""A disk that loses power: which states it may be in at any moment of a traced process.

Only what POSIX promises is relied on. Bytes are there after fdatasync or fsync of their file returned; before that
any of their 512-byte sectors may be there, in any order, and the file may have its new length with zeros. Names are
there after fsync of their directory returned; before that any of the changes may be there. A rename within one
directory happens as a whole.
"""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.robustness.syscall_trace import Call, Moment

SECTOR_BYTES = 512
Unsynced = Literal["kept", "lost", "begun", "torn"]
"""What becomes of bytes that were not synced: all there, none, the first ones, any of their sectors."""


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes written to a file, or its new length."""

    began: int
    offset: int
    data: bytes | None


@dataclass(slots=True)
class Node:
    """A file or directory, whatever its names are."""

    directory: bool = False
    synced: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Naming:
    """Names of one directory that change together; None removes one."""

    began: int
    directory: str
    names: tuple[tuple[str, Node | None], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What is on the disk after the power came back, by path below the root."""

    files: dict[str, bytes]
    directories: frozenset[str]


class Disk:
    """Follows a trace. `spared` paths are on another disk, so to speak: all that was written to them is there."""

    def __init__(self, root: str, spared: Callable[[str], bool]) -> None:
        """Start with an empty directory that is there for good."""
        self._root = root
        self._spared = spared
        self._live: dict[str, Node] = {root: Node(directory=True)}
        self._synced = dict(self._live)
        self._namings: list[Naming] = []
        self._positions: dict[int, int] = {}

    def see(self, moment: Moment) -> bool:
        """Take the next moment of the trace; False if it has nothing to do with this disk."""
        call = moment.call
        if call.name in {"write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate"}:
            return self._change(call) if not moment.ended else False
        if call.name in {"fdatasync", "fsync"}:
            return self._sync(call) if moment.ended else False
        return self._name(call) if moment.ended else False

    def loses_power(self, data: Unsynced, names: Unsynced, dice: random.Random) -> Found:
        """Return one state the disk may be in if power goes now."""
        there = dict(self._synced)
        last = dice.randint(0, len(self._namings))
        for number, naming in enumerate(self._namings):
            spared = any(self._spared(path) for path, _ in naming.names)
            keep = {"kept": True, "lost": False, "begun": number < last, "torn": dice.random() < 0.5}[names]
            if keep or spared:
                _rename(there, naming)
        files, directories = {}, set()
        for path, node in there.items():
            if not self._reachable(path, there):
                continue
            below = os.path.relpath(path, self._root)
            if node.directory:
                directories.add(below)
            else:
                files[below] = _content(node, "kept" if self._spared(path) else data, dice)
        return Found(files, frozenset(directories))

    def _reachable(self, path: str, there: dict[str, Node]) -> bool:
        while path != self._root:
            path = os.path.dirname(path)  # noqa: PTH120 - paths here are keys, and there are millions of look-ups
            if path not in there:
                return False
        return True

    def _change(self, call: Call) -> bool:
        node = self._live.get(call.path)
        if node is None:
            return False
        if call.name == "ftruncate":
            node.changes.append(Change(call.began, call.numbers[-1], None))
            return True
        data = b"".join(call.strings)[: call.result]
        offset = self._offset(call)
        node.changes.append(Change(call.began, offset, data))
        return True

    def _offset(self, call: Call) -> int:
        if call.name in {"pwrite64", "pwritev"}:
            return call.numbers[-1]
        if call.name == "pwritev2":
            return call.numbers[-2] if len(call.numbers) > 2 else call.numbers[-1]
        offset = self._positions.get(call.descriptor, 0)
        self._positions[call.descriptor] = offset + call.result
        return offset

    def _sync(self, call: Call) -> bool:
        node = self._live.get(call.path)
        if node is None:
            return False
        if node.directory:
            done = [naming for naming in self._namings if naming.directory == call.path and naming.began < call.began]
            for naming in done:
                _rename(self._synced, naming)
            self._namings = [naming for naming in self._namings if naming not in done]
            return bool(done)
        done_changes = [change for change in node.changes if change.began < call.began]
        for change in done_changes:
            _apply(node.synced, change)
        node.changes = node.changes[len(done_changes) :]
        return bool(done_changes)

    def _name(self, call: Call) -> bool:
        strings = [string.decode(errors="replace") for string in call.strings]
        match call.name:
            case "openat":
                return self._open(call)
            case "mkdir" | "mkdirat":
                return self._set(call.began, ((strings[0], Node(directory=True)),))
            case "unlink" | "unlinkat":
                return self._set(call.began, ((strings[0], None),))
            case "link" | "linkat":
                return self._set(call.began, ((strings[1], self._live.get(strings[0])),))
            case "rename" | "renameat" | "renameat2":
                return self._move(call.began, strings[0], strings[1])
        return False

    def _open(self, call: Call) -> bool:
        self._positions[call.descriptor] = 0
        if not call.path.startswith(self._root + "/") or "O_CREAT" not in call.flags:
            return False
        node = self._live.get(call.path)
        if node is None:
            return self._set(call.began, ((call.path, Node()),))
        if "O_TRUNC" in call.flags:
            node.changes.append(Change(call.began, 0, None))
            return True
        return False

    def _move(self, began: int, source: str, target: str) -> bool:
        node = self._live.get(source)
        if node is None or self._live.get(target) is node:
            return False
        if os.path.dirname(source) == os.path.dirname(target):  # noqa: PTH120
            return self._set(began, ((source, None), (target, node)))
        return self._set(began, ((target, node),)) and self._set(began, ((source, None),))

    def _set(self, began: int, names: Sequence[tuple[str, Node | None]]) -> bool:
        if not names[0][0].startswith(self._root + "/"):
            return False
        naming = Naming(began, os.path.dirname(names[0][0]), tuple(names))  # noqa: PTH120
        _rename(self._live, naming)
        self._namings.append(naming)
        return True


def _rename(names: dict[str, Node], naming: Naming) -> None:
    for path, node in naming.names:
        if node is None:
            names.pop(path, None)
        else:
            names[path] = node


def _apply(content: bytearray, change: Change) -> None:
    if change.data is None:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def _content(node: Node, unsynced: Unsynced, dice: random.Random) -> bytes:
    content = bytearray(node.synced)
    if unsynced == "kept":
        for change in node.changes:
            _apply(content, change)
    elif unsynced == "begun":
        last = dice.randint(0, len(node.changes))
        for change in node.changes[:last]:
            _apply(content, change)
        if last < len(node.changes):
            _begin(content, node.changes[last], dice)
    elif unsynced == "torn":
        for change in node.changes:
            _tear(content, change, dice)
    return bytes(content)


def _begin(content: bytearray, change: Change, dice: random.Random) -> None:
    """Let a write have come as far as some byte."""
    if change.data is not None:
        _apply(content, Change(change.began, change.offset, change.data[: dice.randint(0, len(change.data))]))


def _tear(content: bytearray, change: Change, dice: random.Random) -> None:
    """Let any sectors of a write be there, and perhaps its length."""
    if change.data is None:
        if dice.random() < 0.5:
            _apply(content, change)
        return
    start, end = change.offset, change.offset + len(change.data)
    if dice.random() < 0.5 and end > len(content):
        content.extend(bytes(end - len(content)))
    while start < end:
        sector_end = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if dice.random() < 0.5:
            piece = change.data[start - change.offset : sector_end - change.offset]
            _apply(content, Change(change.began, start, piece))
        start = sector_end
