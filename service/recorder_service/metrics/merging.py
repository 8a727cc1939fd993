"""One answer for several processes: every series of each, told apart by a label, nothing added up or lost.

Sums belong into queries: a counter that is summed here would fall when one of the processes starts again, and a rate
would take that for growth. With a label each process's counter restarts by itself, `sum(rate(...))` is right, and a
gauge such as free disk space, which several processes share, is taken by `min` or `max` instead of being counted twice.
"""

from collections.abc import Mapping

_HEADS = ("# HELP ", "# TYPE ")


def merge_expositions(expositions: Mapping[str, str], label: str = "worker") -> str:
    """Join answers in Prometheus' text format into one.

    Args:
        expositions: The answer of each process by its name, such as `0`: letters, digits, `-` and `_`.
        label: The label that holds the name.

    Returns:
        One answer; each family once, with the samples of all processes. Same families, same help: the processes run
        the same build.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for name, text in expositions.items():
        family = ""
        for line in text.splitlines():
            if line.startswith(_HEADS):
                family = line.split(" ", 3)[2]
                head = heads.setdefault(family, [])
                if line not in head:
                    head.append(line)
            elif line and not line.startswith("#"):
                samples.setdefault(family, []).append(_labelled(line, f'{label}="{name}"'))
    lines = [line for family, head in heads.items() for line in (*head, *samples.get(family, ()))]
    return "\n".join(lines) + "\n"


def _labelled(sample: str, pair: str) -> str:
    """Put a label first: `a{b="c"} 1` and `a 1` alike."""
    brace, space = sample.find("{"), sample.find(" ")
    if 0 <= brace < space:
        return f"{sample[: brace + 1]}{pair},{sample[brace + 1 :]}"
    return f"{sample[:space]}{{{pair}}}{sample[space:]}"
