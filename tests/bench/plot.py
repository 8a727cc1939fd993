"""Calls against CPU and against receive-to-durable p99, drawn as SVG."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.result import Result

_NAME = re.compile(r"mono_mp3_(\d+)ms_(\d+)")
_COLOURS = {100: "#2563eb", 20: "#d97706"}
_WIDTH, _HEIGHT, _MARGIN = 360, 260, 56
_STEPS = 4


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    figure: str
    left: int


_PANELS = (
    _Panel("cores used by the server", "cores", 0),
    _Panel("receive to durable, p99, ms", "durable_p99_ms", _WIDTH + _MARGIN),
)


def draw(results: Mapping[str, Result]) -> str:
    """Return a picture of the mono MP3 levels, one line a message length; runs that do not count are left out."""
    lines: dict[int, list[tuple[int, Result]]] = {}
    for name, result in results.items():
        if (found := _NAME.fullmatch(name)) and not result.faults:
            lines.setdefault(int(found[1]), []).append((int(found[2]), result))
    width, height = 2 * _WIDTH + 3 * _MARGIN, _HEIGHT + 2 * _MARGIN
    body = "".join(_drawn(panel, lines) for panel in _PANELS)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" fill="#57606a">\n<rect width="{width}" height="{height}" fill="#ffffff"/>\n{body}</svg>\n'
    )


def _drawn(panel: _Panel, lines: Mapping[int, Sequence[tuple[int, Result]]]) -> str:
    most_calls = max((calls for points in lines.values() for calls, _ in points), default=1)
    values = [result.figures[panel.figure] for points in lines.values() for _, result in points]
    highest = _rounded_up(max(values, default=1.0))
    parts = [_axes(panel, most_calls, highest)]
    for order, (message_ms, points) in enumerate(sorted(lines.items(), reverse=True)):
        places = [
            (_x(panel, calls, most_calls), _y(result.figures[panel.figure], highest))
            for calls, result in sorted(points, key=_calls)
        ]
        colour = _COLOURS.get(message_ms, "#57606a")
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>\n')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>\n' for x, y in places]
        x, y = _MARGIN + panel.left + 12, _MARGIN + 14 + order * 18
        parts.append(f'<text x="{x}" y="{y}" fill="{colour}">messages of {message_ms} ms</text>\n')
    return "".join(parts)


def _axes(panel: _Panel, most_calls: int, highest: float) -> str:
    left, bottom = _MARGIN + panel.left, _MARGIN + _HEIGHT
    parts = [f'<text x="{left}" y="{_MARGIN - 22}" font-size="14" fill="#1f2328">{panel.title}</text>\n']
    for step in range(_STEPS + 1):
        value = highest * step / _STEPS
        y = _y(value, highest)
        parts.append(f'<line x1="{left}" y1="{y}" x2="{left + _WIDTH}" y2="{y}" stroke="#d0d7de"/>\n')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>\n')
        calls = most_calls * step / _STEPS
        x = _x(panel, calls, most_calls)
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{calls:g}</text>\n')
    parts.append(f'<text x="{left + _WIDTH / 2}" y="{bottom + 38}" text-anchor="middle">live calls</text>\n')
    return "".join(parts)


def _calls(point: tuple[int, Result]) -> int:
    return point[0]


def _x(panel: _Panel, calls: float, most_calls: int) -> float:
    return round(_MARGIN + panel.left + _WIDTH * calls / most_calls, 1)


def _y(value: float, highest: float) -> float:
    return round(_MARGIN + _HEIGHT * (1 - value / highest), 1)


def _rounded_up(value: float) -> float:
    """Return the next 1, 2, 4 or 8 times a power of ten: four steps of it are short numbers."""
    unit = 1.0
    while unit > value:
        unit /= 10
    while unit * 10 < value:
        unit *= 10
    return next(unit * factor for factor in (1, 2, 4, 8, 10) if unit * factor >= value)
