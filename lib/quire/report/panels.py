"""What several charts share: small multiples, ticks, tints and short words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
    text = str(name)
    return text if len(text) <= LABEL else text[: LABEL - 1] + "…"


def value(found: Any) -> str:
    """Return a value of a column as text: one that is whole has no decimals."""
    whole = isinstance(found, float) and found.is_integer()
    return number(int(found) if whole else found)


def percent(share: float) -> str:
    """Return a share as a percentage with as many digits as it needs."""
    return f"{share:.0%}" if share >= 0.1 or not share else f"{share:.1%}" if share >= 0.001 else f"{share:.2%}"


def wrapped(text: str) -> str:
    """Return an axis label on two lines where it is long."""
    return text if len(text) <= 24 else text.replace(" of ", "\nof ", 1)


def listed(names: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
