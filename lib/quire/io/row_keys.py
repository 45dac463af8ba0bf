"""The text that identifies a row, the same for a batch, the service and the database."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from quire.config import label

if TYPE_CHECKING:
    import pandas as pd

SEPARATOR = "|"
REPEATED = "|#"
"""What stands between a key and the number of the row that repeats it."""

_LIKE_A_REPEAT = re.compile(r"(\\*)(\|#\d+)\Z")


def row_key(parts: Iterable[Any]) -> str:
    r"""Return the parts of a key as one text, joined by ``|``; no other parts make the same text.

    Of several parts, a ``|`` within one is written ``\|``, and backslashes before it or at a part's end are doubled, so
    that all other texts stay as they are. The only part of a key is changed where it ends as a repeated key does. Times
    are ISO 8601, other values as `quire.config.label` writes them.
    """
    texts = [_text(part) for part in parts]
    if len(texts) > 1:
        return SEPARATOR.join(map(_escaped, texts))
    return _LIKE_A_REPEAT.sub(lambda match: match[1] * 2 + "\\" + match[2], "".join(texts))


def row_keys(frame: "pd.DataFrame", key: Sequence[str], start: int = 0, *, numbered: bool = False) -> list[str]:
    """Return the text that identifies each row: that of its key columns' values, or ``#<position>`` without a key.

    numbered: rows that repeat a key, as ``on_duplicate: keep`` allows, are told apart by how many came before:
    ``KEY|#1``.
    """
    if not key:
        return [f"#{start + position}" for position in range(len(frame))]
    texts = [row_key(values) for values in frame[list(key)].itertuples(index=False, name=None)]
    if not numbered or len(set(texts)) == len(texts):
        return texts
    repeats = occurrences(frame, key)
    return [f"{text}{REPEATED}{repeat}" if repeat else text for text, repeat in zip(texts, repeats, strict=True)]


def is_repeat(text: str, key: str) -> bool:
    """Return whether ``text`` identifies a row that repeats ``key``."""
    return text.startswith(key + REPEATED) and text.removeprefix(key + REPEATED).isdigit()


def occurrences(frame: "pd.DataFrame", key: Sequence[str]) -> "pd.Series":
    """Return how many rows with the same key came before each row, as int64."""
    return frame.groupby(list(key), dropna=False, sort=False).cumcount()


def _text(value: Any) -> str:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return label(value.item() if hasattr(value, "item") else value)


def _escaped(text: str) -> str:
    return re.sub(r"(\\*)(\||$)", lambda match: match[1] * 2 + ("\\|" if match[2] else ""), text)
