"""The house style of charts: fonts, grid, and colours that people with colour-blindness tell apart."""

from typing import TYPE_CHECKING, Any

from quire.page.svg import GRID, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MUTED = "#7b8794"
"""Lines and labels that stand back; readable on light and on dark."""

NEUTRAL = "#9aa5b1"
ACCENT = "#0072b2"
"""The one colour for what a chart is about."""

GOOD, WARN, BAD = "#009e73", "#e69f00", "#d55e00"
STATUS = {"good": GOOD, "warn": WARN, "bad": BAD, "neutral": NEUTRAL}
PALETTE = (ACCENT, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7b8794")
"""Colours of series, in order. Source: Okabe and Ito (2008), Color Universal Design."""

__all__ = ["ACCENT", "BAD", "GOOD", "GRID", "INK", "MUTED", "NEUTRAL", "PALETTE", "STATUS", "WARN", "figure", "style"]

RC = {
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.bottom": True,
    "ytick.left": False,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "patch.linewidth": 0,
    "patch.edgecolor": "none",
    "boxplot.flierprops.markersize": 3,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    # Names of columns and categories are data: a dollar sign in one of them is no formula.
    "text.parse_math": False,
    # A tick says its whole value, not what is to be added to another number at the end of the axis.
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-9, 9),
    "svg.fonttype": "none",
    "svg.hashsalt": "quire",
    "figure.dpi": 100,
    "savefig.dpi": 160,
}


def style() -> None:
    """Give every chart that is drawn from now on the house style."""
    import seaborn as sns

    from quire.report.labels import ignore_missing_glyphs

    ignore_missing_glyphs()
    sns.set_theme(style="whitegrid", palette=list(PALETTE), rc=RC)


def figure(
    rows: int = 1, columns: int = 1, *, width: float = 8.0, height: float = 3.6, **options: Any
) -> tuple["Figure", Any]:
    """Return a figure and its axes, as ``pyplot.subplots`` does, but shown by nobody except the `Chart` that takes it.

    width, height: inches of the whole figure; 8 inches fill a page's column. options: those of ``Figure.subplots``.
    """
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(rows, columns, **options)
