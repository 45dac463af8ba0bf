"""The page around an executed notebook: contents at the side, provenance at the foot."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

from quire.page.rendering import render
from quire.page.sheet import report_style


@dataclass(frozen=True)
class Heading:
    """A heading of a report: level 1 to 3, the id to jump to, and its text."""

    level: int
    anchor: str
    text: str


def report(
    body: str, *, title: str = "", back: str = "../index.html", provenance: Mapping[str, str] | None = None
) -> str:
    """Return a whole page around ``body``, the HTML of an executed notebook (nbconvert's template ``basic``).

    title: by default the notebook's first heading. back: address of the run's page, empty for none.
    provenance: what the foot says, label -> value, such as run, as of, commit, snapshot.
    """
    from markupsafe import Markup

    # The page has the style already; each output brings it along for the places that do not.
    content = body.replace(report_style(), "")
    outline = headings(content)
    first = next((heading.text for heading in outline if heading.level == 1), "Report")
    return render(
        "report",
        title=title or first,
        body=Markup(content),
        contents=[heading for heading in outline if heading.level in (2, 3)],
        back=back,
        provenance=dict(provenance or {}),
    )


def headings(body: str) -> list[Heading]:
    """Return the headings of levels 1 to 3 that have an id, in order."""
    parser = _Headings()
    parser.feed(body)
    return parser.found


class _Headings(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Heading] = []
        self._open: tuple[int, str] | None = None
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        anchor = dict(attrs).get("id")
        if re.fullmatch("h[1-3]", tag) and anchor:
            self._open, self._text = (int(tag[1]), anchor), []

    def handle_data(self, data: str) -> None:
        if self._open:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag == f"h{self._open[0]}":
            text = " ".join("".join(self._text).replace("¶", "").split())
            self.found.append(Heading(*self._open, text))
            self._open = None
