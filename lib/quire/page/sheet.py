"""The style sheets: ``report.css`` for what notebooks show, ``style.css`` for whole pages. Pages inline both."""

from functools import cache
from importlib.resources import files


@cache
def read_sheet(name: str) -> str:
    """Return the style sheet ``name`` of this package, comments and line breaks removed."""
    lines = files("quire.page").joinpath(f"{name}.css").read_text(encoding="utf-8").splitlines()
    return "\n".join(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("/*"))


def report_style() -> str:
    """Return a ``<style>`` element for what a notebook shows: banner, tiles, charts, tables, notes.

    It goes with every output, so that each looks right wherever it is shown: JupyterLab, nbconvert, Voila, e-mail.
    """
    return f"<style>{read_sheet('report')}</style>"
