"""Labels of charts: names as plain text that fits its place, and axes of shares whose ticks are exact."""

import re
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from quire.page.numbers import percent as percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

LONGEST = 36
"""Characters of a name beside a chart; a longer one is cut, or it would leave the chart no room."""

_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
MOST_DECIMALS = 4


def label_text(value: Any, most: int = LONGEST) -> str:
    """Return a name as one line of at most ``most`` characters, cut with an ellipsis; what XML cannot hold is �."""
    text = _NOT_IN_XML.sub("\ufffd", " ".join(str(value).split())) or "(blank)"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def name_rows(axes: "Axes", names: Iterable[Any], *, most: int = LONGEST, **options: Any) -> None:
    """Name the rows of a chart, from 0 on, on the vertical axis."""
    texts = [label_text(name, most) for name in names]
    axes.set_yticks(range(len(texts)), texts, **options)


def name_columns(axes: "Axes", names: Iterable[Any], *, most: int = LONGEST, **options: Any) -> None:
    """Name the columns of a chart, from 0 on, on the horizontal axis."""
    texts = [label_text(name, most) for name in names]
    axes.set_xticks(range(len(texts)), texts, **options)


def percent_axis(axis: "Axis", *, signed: bool = False) -> None:
    """Write the ticks of an axis of shares as percentages, with the decimals that their steps need."""

    def text(share: float, _: Any) -> str:
        tick_label = (
            f"{share + 0.0:{'+' if signed and abs(share) > 1e-12 else ''}.{decimals(axis.get_majorticklocs())}%}"
        )
        return tick_label.replace("-0%", "0%").replace("-", "−")

    axis.set_major_formatter(text)


def decimals(shares: Iterable[float]) -> int:
    """Return how many decimals percentages need so that none of ``shares`` is rounded; at most `MOST_DECIMALS`."""
    values = [100 * share for share in shares]
    exact = (n for n in range(MOST_DECIMALS) if all(abs(round(value, n) - value) < 10 ** -(n + 3) for value in values))
    return next(exact, MOST_DECIMALS)


def plain_text(figure: "Figure") -> None:
    """Take every text of the figure literally: ``$`` is no mathematics, and a tab or a line break is a space."""
    from matplotlib.category import StrCategoryFormatter
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(_lines(text.get_text()))
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FixedFormatter | FuncFormatter | StrCategoryFormatter):
                axis.set_major_formatter(_plain(formatter))


def _plain(formatter: Any) -> Any:
    return lambda value, place: _lines(str(formatter(value, place)))


def ignore_missing_glyphs() -> None:
    """Say nothing of characters that the font lacks: in an SVG they stay text, and the reader's fonts have them."""
    warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")


def _lines(text: str) -> str:
    return "\n".join(_NOT_IN_XML.sub("\ufffd", line.replace("\t", " ")) for line in text.split("\n"))
