"""Charts that follow the page: the ink of an SVG becomes the colour of the text around it."""

import re

INK = "#1f2933"
GRID = "#dde2e7"

_HEADER = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
_TAG = re.compile(r"<[a-zA-Z][^>]*>")
_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)


def themed(svg: str, *, title: str = "") -> str:
    """Return an SVG document as an inline element: scales to its column, ink and grid follow light and dark.

    title: what the chart says, for screen readers.
    """
    body = _METADATA.sub("", _HEADER.sub("", svg, count=1))
    body = _TAG.sub(_recoloured, body)
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    label = f' role="img" aria-label="{_attribute(title)}"' if title else ' aria-hidden="true"'
    return f"{head}{label}>{rest}".strip()


def _recoloured(tag: re.Match[str]) -> str:
    """Return a tag whose ink and grid follow the page; a text that happens to hold such a word is no tag."""
    text = re.sub(INK, "currentColor", tag[0], flags=re.IGNORECASE)
    return re.sub(GRID, f"var(--quire-line, {GRID})", text, flags=re.IGNORECASE)


def natural_width(svg: str) -> int:
    """Return how many pixels wide an SVG was drawn; 640 where it does not say."""
    match = re.search(r'<svg\b[^>]*?\swidth="([\d.]+)(pt|px)?"', svg) or re.search(r'viewBox="\S+ \S+ ([\d.]+)()', svg)
    return round(float(match[1]) * (4 / 3 if match[2] == "pt" else 1)) if match else 640


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
