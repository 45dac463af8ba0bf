"""A line over time as SVG, drawn without a charting library: pages may import none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from quire.page.numbers import number
from quire.page.svg import GRID, INK

WIDTH, HEIGHT = 640.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 14.0, 14.0, 26.0
ACCENT = "#0072b2"
TICKS = 4


@dataclass(frozen=True)
class Point:
    """A value at a time; ``label`` is shown when the pointer rests on it, ``tone`` colours it (good, warn, bad)."""

    at: datetime
    value: float
    label: str = ""
    tone: str = ""


def draw_line(points: Sequence[Point], *, title: str, marks: Sequence[tuple[datetime, str]] = ()) -> str:
    """Return an SVG of ``points`` in the order of time; marks: vertical lines with a few words, such as a promotion."""
    series = sorted(points, key=lambda point: point.at)
    if not series:
        return ""
    start, end = series[0].at, series[-1].at
    span = (end - start).total_seconds() or 1.0
    low, high = _range([point.value for point in series])

    def x(at: datetime) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (0.5 if start == end else (at - start).total_seconds() / span)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}"><title>{escape(title)}</title>'
    ]
    for step in range(TICKS + 1):
        value = low + (high - low) * step / TICKS
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(_text(LEFT - 8, y(value) + 4, number(value), "end"))
    for at, words in marks:
        line = f'd="M{x(at):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#9aa5b1" stroke-dasharray="3 3"'
        parts.append(f"<path {line}><title>{escape(words)}</title></path>")
    for at, anchor in ((start, "start"), (end, "end")) if start != end else ((start, "middle"),):
        parts.append(_text(x(at), HEIGHT - 8, f"{at:%Y-%m-%d}", anchor))
    path = "L".join(f"{x(point.at):.1f} {y(point.value):.1f}" for point in series)
    parts.append(f'<path d="M{path}" fill="none" stroke="{ACCENT}" stroke-width="2" stroke-linejoin="round"/>')
    for point in series:
        colour = f"var(--quire-{point.tone})" if point.tone else ACCENT
        words = escape(point.label or f"{point.at:%Y-%m-%d}: {number(point.value)}")
        place = f'cx="{x(point.at):.1f}" cy="{y(point.value):.1f}" r="3"'
        parts.append(f'<circle {place} style="fill:{colour}"><title>{words}</title></circle>')
    return "".join(parts) + "</svg>"


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="{INK}">{escape(text)}</text>'
