"""The text that identifies a row, the same for a batch, the service and the database."""

import re
from collections import Counter
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
    text = "".join(texts)
    # Looking first takes a tenth of the time, and hardly a text ends so.
    return _LIKE_A_REPEAT.sub(lambda match: match[1] * 2 + "\\" + match[2], text) if REPEATED in text else text


class RowKeys:
    """The texts that identify rows that come a part at a time, the same as if they came at once.

    numbered: rows that repeat a key, as ``on_duplicate: keep`` allows, are told apart by how many came before:
    ``KEY|#1``. Rows with the same key have to follow one another, as they do in a snapshot.
    """

    def __init__(self, key: Sequence[str], *, numbered: bool = False) -> None:
        self._key, self._numbered = list(key), numbered
        self._rows, self._last, self._repeats = 0, "", 0

    def of(self, part: "pd.DataFrame") -> list[str]:
        """Return the text for each row of the next part: of its key's values, or ``#<position>`` without a key."""
        start, self._rows = self._rows, self._rows + len(part)
        if not self._key:
            return [f"#{position}" for position in range(start, self._rows)]
        texts = [row_key(values) for values in part[self._key].itertuples(index=False, name=None)]
        return self._numbered_texts(texts) if self._numbered else texts

    def _numbered_texts(self, texts: list[str]) -> list[str]:
        counts = Counter({self._last: self._repeats})
        keys = []
        for text in texts:
            keys.append(f"{text}{REPEATED}{counts[text]}" if counts[text] else text)
            counts[text] += 1
        if texts:
            self._last, self._repeats = texts[-1], counts[texts[-1]]
        return keys


def row_keys(frame: "pd.DataFrame", key: Sequence[str], *, numbered: bool = False) -> list[str]:
    """Return the text that identifies each row of a whole frame, as `RowKeys` does."""
    return RowKeys(key, numbered=numbered).of(frame)


def is_repeat(text: str, key: str) -> bool:
    """Return whether ``text`` identifies a row that repeats ``key``."""
    return text.startswith(key + REPEATED) and text.removeprefix(key + REPEATED).isdigit()


def occurrences(frame: "pd.DataFrame", key: Sequence[str]) -> "pd.Series":
    """Return how many rows with the same key came before each row, as int64."""
    return frame.groupby(list(key), dropna=False, sort=False).cumcount()


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return label(value.item() if hasattr(value, "item") else value)


def _escaped(text: str) -> str:
    return re.sub(r"(\\*)(\||$)", lambda match: match[1] * 2 + ("\\|" if match[2] else ""), text)
