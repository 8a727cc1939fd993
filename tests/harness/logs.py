"""Reading a server's log: one JSON object a line."""

import json
from typing import Any

# Facts that are a fault of the server, never of a caller.
_FAULTS = frozenset(
    {
        "rpc_failed",
        "background_task_failed",
        "rendering_failed",
        "finishing_failed",
        "task_ended",
        "webhook_attempt_broke",
        "journal_failed",
        "journal_hole",
        "recording_of_another_node",
    }
)


def facts(log: str) -> list[dict[str, Any]]:
    """Return what each line says.

    Raises:
        AssertionError: A line is not a JSON object with an event, a level and a time.
    """
    found = []
    for line in log.splitlines():
        try:
            fact = json.loads(line)
        except json.JSONDecodeError:
            raise AssertionError(f"not JSON: {line}") from None
        assert isinstance(fact, dict), line
        assert {"event", "level", "timestamp"} <= set(fact), line
        found.append(fact)
    return found


def faults(log: str) -> list[dict[str, Any]]:
    """Return the lines that tell of a fault of the server's own; what gRPC's core says in its own form is let be."""
    lines = [line for line in log.splitlines() if line.startswith("{")]
    assert "Traceback" not in "".join(line for line in log.splitlines() if not line.startswith("{")), log
    told = facts("\n".join(lines))
    return [fact for fact in told if fact["event"] in _FAULTS or "Traceback" in str(fact.get("exception", ""))]
