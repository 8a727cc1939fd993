"""A principal: a caller whose token was found good, and what it may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

_ONE_SEGMENT = "*"
_THE_REST = "**"


@dataclass(frozen=True, slots=True)
class PathRule:
    """One path of a token's `acl` claim.

    Attributes:
        pattern: Segments of the path; `*` stands for one of them, `**` at the end for any number, none included.
        methods: Methods it is limited to, upper case; None means all of them.
    """

    pattern: tuple[str, ...]
    methods: frozenset[str] | None = None

    def matches(self, segments: tuple[str, ...], method: str) -> bool:
        """Say whether the rule covers a path given as segments."""
        if self.methods is not None and method.upper() not in self.methods:
            return False
        fixed = self.pattern
        if fixed[-1:] == (_THE_REST,):
            fixed = fixed[:-1]
            segments = segments[: len(fixed)] if len(segments) >= len(fixed) else ()
        return len(segments) == len(fixed) and all(
            wanted in {_ONE_SEGMENT, found} for wanted, found in zip(fixed, segments, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller.

    Attributes:
        application_id: The application whose key signed the token; None for the admin.
        admin: Whether the admin token was shown.
        rules: Paths the token is limited to; None means no limit.
    """

    application_id: UUID | None
    admin: bool = False
    rules: tuple[PathRule, ...] | None = None

    def permits(self, path: str, method: str = "GET") -> bool:
        """Say whether the token's `acl` covers a path.

        A path with an empty, `.` or `..` segment is never covered by a limited token, so that no spelling of a path
        gets around its rules.

        Args:
            path: As in a URL, percent-decoded, without query: `/v1/files/<id>`.
            method: The HTTP method, for rules that name methods.
        """
        if self.rules is None:
            return True
        segments = _segments(path)
        if segments is None:
            return False
        return any(rule.matches(segments, method) for rule in self.rules)


ADMIN = Principal(application_id=None, admin=True)


def parse_acl(acl: object) -> tuple[PathRule, ...]:
    """Read the `acl` claim: `{"paths": {"/*/files/**": {}}}`.

    The object behind a path may hold `methods`, a list of HTTP methods. A rule with `filters` (conditions on query
    parameters, which nothing here has) covers nothing, because leaving a condition out would widen the rule.

    Raises:
        ValueError: The claim does not have this shape.
    """
    if not isinstance(acl, Mapping) or not isinstance(acl.get("paths"), Mapping):
        raise ValueError("acl must be an object with an object `paths`")  # noqa: TRY004 - callers know one kind of refusal
    rules = (_parse_rule(path, conditions) for path, conditions in acl["paths"].items())
    return tuple(rule for rule in rules if rule is not None)


def _parse_rule(path: str, conditions: object) -> PathRule | None:
    segments = _segments(path)
    if segments is None or _THE_REST in segments[:-1] or not isinstance(conditions, Mapping):
        raise ValueError("acl.paths must map absolute paths, with ** only at the end, to objects")
    methods = conditions.get("methods")
    if methods is not None and not (isinstance(methods, list) and all(isinstance(name, str) for name in methods)):
        raise ValueError("methods in acl.paths must be a list of strings")
    if conditions.get("filters"):
        return None
    return PathRule(segments, None if methods is None else frozenset(name.upper() for name in methods))


def _segments(path: str) -> tuple[str, ...] | None:
    if not path.startswith("/"):
        return None
    segments = tuple(path[1:].split("/"))
    return None if any(segment in {"", ".", ".."} for segment in segments) else segments
