"""Settings from a file: TOML with the names of the settings as keys."""

import difflib
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from recorder_service.errors import Reason, StartupError


def read_config_file(path: Path, known: Collection[str]) -> dict[str, Any]:
    """Read a file; a list may stand where the environment has commas.

    Args:
        path: Of the file.
        known: Names of all settings: another one is a slip of the pen, and is refused.

    Raises:
        StartupError: INVALID_CONFIGURATION, naming the file and the place in it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror}): name another with --config") from error
    except UnicodeDecodeError:
        raise _unusable(path, "is not UTF-8 text: write it as TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise _unusable(path, f"is not TOML: {error}") from None
    for key, value in content.items():
        _check(path, key, value, known)
    return content


def _check(path: Path, key: str, value: object, known: Collection[str]) -> None:
    if isinstance(value, dict):
        raise _unusable(path, f"has a table [{key}]: settings stand at its top, as `grpc_port = 50051`")
    if key not in known:
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else "see docs/configuration.md for those there are"
        raise _unusable(path, f"has `{key}`, which is no setting: {hint}")


def _unusable(path: Path, fault: str) -> StartupError:
    return StartupError(Reason.INVALID_CONFIGURATION, f"configuration file {path} {fault}", details={"field": "config"})
