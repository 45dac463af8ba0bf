"""What several charts share: small multiples, ticks, tints and short words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quire.report.labels import label_text
from quire.report.numbers import number
from quire.report.theme import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = 3
SHOWN = 12
"""Columns shown in small multiples: the ones that matter most to the target."""

LABEL = 11
"""Longest label of a category, in characters."""


def panels(count: int, *, height: float, sharey: bool = False) -> tuple[Any, list["Axes"]]:
    """Return a figure of ``count`` small charts, `PANELS` to a row of ``height`` inches, and their axes."""
    rows = -(-count // PANELS)
    fig, axes = figure(rows, PANELS, height=height * rows, squeeze=False, sharey=sharey)
    flat = list(axes.flat)
    for ax in flat[count:]:
        ax.set_visible(False)
    return fig, flat[:count]


def few_ticks() -> Any:
    """Return a locator of at most four steps."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def tilt(ax: "Axes", labels: Sequence[str]) -> None:
    """Turn the labels of categories where they would run into each other."""
    if sum(map(len, labels)) > 24:
        ax.tick_params(axis="x", rotation=30)


def tints(colour: str) -> Any:
    """Return a colour map from nearly nothing to ``colour``."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    return LinearSegmentedColormap.from_list("tints", [to_rgba(colour, 0.04), to_rgba(colour, 1.0)])


def short(name: Any) -> str:
    """Return a category as a label that fits below a small chart."""
    return label_text(name, LABEL)


def value(found: Any) -> str:
    """Return a value of a column as text: one that is whole has no decimals."""
    return label_text(number(found))


def wrapped(text: str) -> str:
    """Return an axis label on two lines where it is long."""
    cut = label_text(text, 60)
    return cut if len(cut) <= 24 else cut.replace(" of ", "\nof ", 1)


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return ``a, b and c``; beyond ``most`` names they are counted."""
    texts = [label_text(name) for name in names]
    if len(texts) > most:
        return f"{', '.join(texts[:most])} and {len(texts) - most} more"
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def absent_steps(absent: int, steps: int, frequency: str) -> str:
    """Return in words how many of the steps of ``frequency`` (as in ``1h``) have no row."""
    name = spelled(frequency)
    if not absent:
        return f"every {name} has a row" if not name[0].isdigit() else f"every step of {name} has a row"
    verb = "have" if absent > 1 else "has"
    step_text = (
        f"{steps:,} {name}{'s' if steps != 1 else ''}" if not name[0].isdigit() else f"{steps:,} steps of {name}"
    )
    return f"{absent:,} of {step_text} {verb} no row"


def spelled(frequency: str) -> str:
    """Return ``1h`` as ``hour``, ``7d`` as ``7 days``."""
    count = int(frequency[:-1])
    unit = {"w": "week", "d": "day", "h": "hour", "m": "minute", "s": "second"}[frequency[-1]]
    return unit if count == 1 else f"{count} {unit}s"
