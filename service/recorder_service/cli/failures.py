"""How a command that cannot do its work ends: one line on stderr that says what to type next."""

import json
import sys
from collections.abc import Mapping
from typing import NoReturn

FAILED = 1
USAGE = 2

_HINTS = {
    "UNAVAILABLE": "start it with `recorder serve`, or name it with --server HOST:PORT (TLS: --tls-ca FILE)",
    "MISSING_TOKEN": "give --token TOKEN, or --application ID --key FILE, or --admin-token TOKEN",
    "INVALID_TOKEN": "make one with `recorder token --application ID --key FILE`",
    "UNAUTHENTICATED": "make a token with `recorder token --application ID --key FILE`",
    "TOKEN_EXPIRED": "make a new one with `recorder token --application ID --key FILE`",
    "ADMIN_ONLY": "give --admin-token TOKEN, or --data-dir DIR on the server's own machine",
    "NOT_PERMITTED": "make a token with a wider --acl, as in `recorder token --acl '/*/files/**'`",
    "RECORDING_NOT_FOUND": "see which there are with `recorder recordings list`",
    "RECORDING_LIVE": "end it with `recorder recordings stop ID`",
    "RECORDING_NOT_LIVE": "see how it ended with `recorder recordings show ID`",
    "APPLICATION_NOT_FOUND": "see which there are with `recorder app list`",
    "APPLICATION_EXISTS": "see it with `recorder app list`, or choose another name",
    "DELIVERY_NOT_FOUND": "see which there are with `recorder webhooks list`",
    "CURSOR_EXPIRED": "begin with `recorder events --from-oldest`",
    "INVALID_CURSOR": "begin with `recorder events --from-oldest`",
    "DIRECTORY_LOCKED": "stop the other one, or give another --data-dir DIR",
    "INVALID_CONFIGURATION": "see `recorder serve --help`",
}


class CommandFailed(Exception):
    """The command cannot go on.

    Attributes:
        message: What is wrong, for people.
        hint: What to type next; may be empty.
        reason: The machine-readable cause.
        metadata: Facts for machines.
        retryable: Whether the same command may succeed later.
        exit_code: 2 where the command line is at fault, else 1.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "FAILED",
        hint: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retryable: bool = False,
        exit_code: int = FAILED,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = _HINTS.get(reason, "") if hint is None else hint
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retryable = retryable
        self.exit_code = exit_code


def wrong_usage(message: str, hint: str = "") -> CommandFailed:
    """Describe a command line that cannot work."""
    return CommandFailed(message, reason="USAGE", hint=hint, exit_code=USAGE)


def end(failure: CommandFailed, *, as_json: bool) -> NoReturn:
    """Tell of the failure on stderr and end the process with its exit code."""
    if as_json:
        error = {
            "reason": failure.reason,
            "message": failure.message,
            "hint": failure.hint,
            "metadata": failure.metadata,
            "retryable": failure.retryable,
        }
        line = json.dumps({"error": error}, ensure_ascii=False)
    else:
        hint = f"; {failure.hint}" if failure.hint else ""
        line = " ".join(f"recorder: {failure.message.rstrip('.')}{hint}".split())
    sys.stderr.write(f"{line}\n")
    raise SystemExit(failure.exit_code)
