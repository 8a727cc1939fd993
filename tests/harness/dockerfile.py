"""Reading a Dockerfile: its stages and their instructions, as far as the project's own one uses the language."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

_JSON_FORMS = frozenset({"CMD", "ENTRYPOINT", "SHELL", "VOLUME"})


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its word, and the rest of its lines joined."""

    word: str
    rest: str

    @property
    def arguments(self) -> list[str]:
        """The words, as JSON or as a shell splits them."""
        if self.word in _JSON_FORMS and self.rest.startswith("["):
            return [str(part) for part in json.loads(self.rest)]
        return shlex.split(self.rest)


@dataclass(frozen=True, slots=True)
class Stage:
    """What follows one FROM."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, word: str) -> list[Instruction]:
        """Return every instruction of a kind."""
        return [one for one in self.instructions if one.word == word]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV instructions set, without what they refer to."""
        pairs = (pair.partition("=") for one in self.all("ENV") for pair in one.arguments)
        return {name: value for name, _, value in pairs}


def stages(text: str) -> list[Stage]:
    """Split a Dockerfile into its stages."""
    found: list[Stage] = []
    for one in _instructions(text):
        if one.word == "FROM":
            base, _, name = one.rest.partition(" AS ")
            found.append(Stage(base, name, ()))
        elif found:
            last = found[-1]
            found[-1] = Stage(last.base, last.name, (*last.instructions, one))
    return found


def context(root: Path, paths: list[str]) -> list[str]:
    """Leave out what .dockerignore keeps out; the last pattern that fits decides, for a path or a folder above it."""
    patterns = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    return [path for path in paths if not _ignored(path, patterns)]


def _ignored(path: str, patterns: list[str]) -> bool:
    ignored = False
    parents = ["/".join(path.split("/")[:length]) for length in range(1, path.count("/") + 2)]
    for pattern in patterns:
        plain = pattern.removeprefix("!")
        names = path.split("/") if plain.startswith("**/") else parents
        if any(fnmatch(name, plain.removeprefix("**/")) for name in names):
            ignored = not pattern.startswith("!")
    return ignored


def _instructions(text: str) -> Iterator[Instruction]:
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip().startswith("#") or not line.strip():
            continue
        lines.append(line.strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            word, _, rest = " ".join(lines).partition(" ")
            yield Instruction(word, rest.strip())
            lines = []
