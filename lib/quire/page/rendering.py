"""Templates to pages that stand alone: style and pictures inside, no request elsewhere."""

from functools import cache
from typing import TYPE_CHECKING, Any

from quire.page.numbers import length, number
from quire.page.policy import CONTENTS_SCRIPT, page_policy
from quire.page.sheet import read_sheet

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: Any) -> str:
    """Return the page that ``templates/<template>.html`` makes of ``values``.

    Texts are escaped; what is HTML already comes as ``markupsafe.Markup``. A name that the template asks for and
    ``values`` lacks raises jinja2.UndefinedError.
    """
    return _environment().get_template(f"{template}.html").render(**values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("quire.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "length_of_time": length, "moment": moment}
    environment.globals["sheets"] = Markup(read_sheet("style") + "\n" + read_sheet("report"))
    environment.globals |= {"policy": page_policy(), "contents_script": Markup(CONTENTS_SCRIPT)}
    return environment


def moment(text: str | None) -> str:
    """Return an ISO 8601 time as ``2026-11-20 18:04 UTC``, midnight as its date; an empty one as a dash."""
    from datetime import UTC, datetime

    if not text:
        return "–"
    at = datetime.fromisoformat(str(text))
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return f"{at:%Y-%m-%d}" if (at.hour, at.minute, at.second) == (0, 0, 0) else f"{at:%Y-%m-%d %H:%M} UTC"
