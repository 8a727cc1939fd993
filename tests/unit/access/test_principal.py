from uuid import UUID

import pytest

from recorder_service.access.principal import ADMIN, Principal, parse_acl

APPLICATION = UUID("2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f")


def limited(**paths: object) -> Principal:
    return Principal(APPLICATION, rules=parse_acl({"paths": paths}))


@pytest.mark.parametrize(
    ("pattern", "path", "permitted"),
    [
        ("/*/files/**", "/v1/files/abc", True),
        ("/*/files/**", "/v3/files/abc/def", True),
        ("/*/files/**", "/v1/files", True),
        ("/*/files/**", "/v1/filesystem/abc", False),
        ("/*/files/**", "/files/abc", False),
        ("/*/files/**", "/v1/x/files/abc", False),
        ("/*/files/*", "/v1/files/abc", True),
        ("/*/files/*", "/v1/files/abc/def", False),
        ("/*/files/*", "/v1/files", False),
        ("/**", "/anything/at/all", True),
        ("/v1/files/abc", "/v1/files/abc", True),
        ("/v1/files/abc", "/v1/files/abd", False),
        ("/v1/files/a*", "/v1/files/abc", False),
        ("/*/files/**", "/v1/files/../recordings/1", False),
        ("/**", "/v1//files", False),
        ("/**", "/v1/./files", False),
        ("/**", "v1/files", False),
        ("/**", "", False),
        ("/**", "/", False),
    ],
)
def test_patterns_cover_whole_segments(pattern: str, path: str, permitted: bool) -> None:
    """`*` is one segment, `**` the rest, everything else itself; odd spellings of a path are never covered."""
    assert limited(**{pattern: {}}).permits(path) is permitted


def test_methods_limit_a_rule() -> None:
    """A list of methods counts, in either case; an empty list covers nothing."""
    principal = limited(**{"/*/files/**": {"methods": ["get"]}, "/*/other/**": {"methods": []}})
    assert principal.permits("/v1/files/1", "GET")
    assert not principal.permits("/v1/files/1", "DELETE")
    assert not principal.permits("/v1/other/1", "GET")


def test_rule_with_filters_covers_nothing() -> None:
    """A condition that cannot be judged does not become no condition."""
    assert not limited(**{"/**": {"filters": {"a": "b"}}}).permits("/v1/files/1")
    assert limited(**{"/**": {"filters": {}}}).permits("/v1/files/1")


def test_empty_acl_permits_nothing() -> None:
    """An acl without paths is a limit to nothing, not the absence of one."""
    assert not limited().permits("/v1/files/1")


def test_principal_without_acl_is_not_limited() -> None:
    """No claim, full access; so for the admin."""
    assert Principal(APPLICATION).permits("/v1/files/1")
    assert ADMIN.permits("/v1/files/1")
