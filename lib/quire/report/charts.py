"""A chart under the sentence that it proves."""

import base64
import hashlib
import io
import re
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from quire.page.sheet import report_style
from quire.page.svg import themed
from quire.report.labels import ignore_missing_glyphs, label_text, plain_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_POINTS = 6_000
"""A figure that draws more points than this becomes a PNG: as SVG it would be slow to open."""


@dataclass(frozen=True)
class Chart:
    """A figure, the message that it carries, and how to read it. A notebook shows it by naming it.

    frame: what is drawn, a row for each mark or a column for each line; the message is made of it and of nothing else.
    """

    message: str
    figure: "Figure"
    how_to_read: str = ""
    frame: "pd.DataFrame | None" = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Close the figure, so that the notebook does not show it a second time, and take its texts literally."""
        from matplotlib import pyplot

        pyplot.close(self.figure)
        plain_text(self.figure)

    @property
    def anchor(self) -> str:
        """The heading's id: the message in lower case, its words joined by hyphens."""
        return "-".join(re.findall(r"\w+", self.message.lower()))[:80]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return the chart as HTML, and its message as text."""
        return {"text/html": self.html(), "text/plain": str(self)}

    def html(self) -> str:
        """Return heading, picture and reading help as HTML with its style."""
        help_text = f"<figcaption>{escape(self.how_to_read)}</figcaption>" if self.how_to_read else ""
        return (
            f'{report_style()}<div class="quire quire-chart"><h3 id="{self.anchor}">'
            f"{escape(label_text(self.message, len(self.message)))}</h3>"
            f'<figure><div class="quire-plot">{self.picture()}</div>{help_text}</figure></div>'
        )

    def picture(self) -> str:
        """Return the figure as inline SVG, or as an image where it holds very many points."""
        return self._picture

    @cached_property
    def _picture(self) -> str:
        """The picture, drawn once: a page and the run's index may show the same chart."""
        if points(self.figure) > MOST_POINTS:
            data = base64.b64encode(self._saved("png", facecolor="white")).decode()
            return f'<img alt="{escape(self.message)}" src="data:image/png;base64,{data}">'
        return themed(self._saved("svg").decode("utf-8"), title=label_text(self.message, len(self.message)))

    def _saved(self, kind: str, **options: Any) -> bytes:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        # Ids of clip paths are hashed with a salt: one salt for all would let charts on one page take each other's.
        salt = hashlib.sha256(self.message.encode()).hexdigest()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        style: Any = {"svg.hashsalt": salt, "svg.fonttype": "none", "text.parse_math": False}
        with matplotlib.rc_context(style), warnings.catch_warnings():
            ignore_missing_glyphs()
            buffer = io.BytesIO()
            _lay_out(self.figure)
            if kind == "svg":  # savefig would draw once more, for a layout that is done
                FigureCanvasSVG(self.figure).print_svg(buffer, metadata=metadata)
            else:
                self.figure.savefig(buffer, format=kind, metadata=metadata, **options)
        return buffer.getvalue()

    def __str__(self) -> str:
        return f"{self.message}\n{self.how_to_read}".strip()


def _lay_out(figure: "Figure") -> None:
    """Place everything once; saving a figure that still has a layout engine draws it twice for the same result."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def points(figure: "Figure") -> int:
    """Return about how many points and vertices a figure draws."""
    import numpy as np

    total = 0
    for axes in figure.axes:
        total += len(axes.patches) + sum(np.size(line.get_xdata()) for line in axes.lines)
        for collection in axes.collections:
            n_vertices = sum(np.shape(path.vertices)[0] for path in collection.get_paths())
            # A scatter draws one path at many offsets; its offsets count.
            total += max(n_vertices, np.shape(collection.get_offsets())[0])
    return total
