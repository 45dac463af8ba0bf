"""What is wrong with a request, in words whose number and length are bounded whatever was sent."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from quire.errors import QuireError, near

MOST_PROBLEMS = 50
"""A request is not checked further once so many problems were found: it is refused anyway."""

MOST_SHOWN = 100
"""Characters of what was sent that are shown, and fields of a schema that are named."""


@dataclass(frozen=True)
class RequestError:
    """One thing wrong with a request: in which row (0 is the first), which field, what was sent, what is allowed."""

    row: int | None
    field: str
    sent: Any
    allowed: str


class InvalidRequest(QuireError):
    """A request that is not as the schema says; nothing was predicted.

    problems: the first ones, at most `MOST_PROBLEMS`.
    """

    def __init__(self, problems: list[RequestError]) -> None:
        self.problems = problems
        first = problems[0]
        location = "" if first.row is None else f"Row {first.row}: "
        super().__init__(f"{location}{first.field}: sent {first.sent!r}; allowed: {first.allowed}")


def unknown_field(name: str, known: Collection[str], *, search: bool) -> str:
    """Return that a field is none of ``known``, which it names; and the near one, if it is to be searched for."""
    listing = ", ".join(list(known)[:MOST_SHOWN]) + (" ..." if len(known) > MOST_SHOWN else "")
    # Comparing takes time by the length of the names, so a name that is much too long is near to none.
    candidates = [other for other in known if search and len(name) <= 2 * len(other)]
    return f"no such field; there are: {listing}.{near(name, candidates) if candidates else ''}"


def short(value: Any) -> Any:
    """Return what was sent, cut to what a person reads; numbers that JSON lacks become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"a whole number of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object with {len(value)} fields"
    text = value[: 4 * MOST_SHOWN].decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"
