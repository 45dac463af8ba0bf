"""What an executed notebook keeps of its cells' outputs: all of it up to limits, so that it can still be opened.

A stream (stdout, stderr) keeps `STREAM_LIMIT` characters of each cell, its start and its end, and of a line that was
written over with carriage returns only what stood there last. Charts, tables and the like are kept up to `RICH_LIMIT`
characters of a notebook. The remark that stands for what is left out says how much it was. Secrets are redacted.
"""

import json
from collections.abc import Mapping
from typing import Any

from quire.page.numbers import shortened
from quire.redaction import redact

STREAM_LIMIT = 1_000_000
RICH_LIMIT = 50_000_000
ERROR_LIMIT = 20_000
"""Characters of an exception's message, and of each entry of its traceback."""

MOST_OUTPUTS = 1_000
"""Outputs of a cell; later text goes to the last output of its stream, anything else is left out."""

RAISES = "raises-exception"
"""The tag of a cell that may fail; the notebook goes on, as in JupyterLab, nbclient and nbmake."""


class StreamText:
    """The text of an output stream, which grows by pieces: whole up to the limit, then its start and its end."""

    def __init__(self, text: str = "") -> None:
        """text: what it begins with."""
        self._start = ""
        self._pieces = [text]
        self._length = len(text)
        self._left_out = 0

    def add(self, piece: str) -> None:
        """Append a piece."""
        self._pieces.append(piece)
        self._length += len(piece)
        if self._length > STREAM_LIMIT:
            self._compact()

    def text(self) -> str:
        """Return what is kept, with a remark where something is left out."""
        self._compact()
        end = "".join(self._pieces)
        remark = f"\n[... {self._left_out:,} characters left out ...]\n" if self._left_out else ""
        return redact(f"{self._start}{remark}{end}")

    def _compact(self) -> None:
        half = STREAM_LIMIT // 2
        text = overwritten("".join(self._pieces))
        if len(text) > (half if self._start else STREAM_LIMIT):
            if not self._start:
                self._start, text = text[:half], text[half:]
            self._left_out += max(0, len(text) - half)
            text = text[-half:]
        self._pieces, self._length = [text], len(text)


def overwritten(text: str) -> str:
    """Return a text as a terminal shows it: of each line what follows its last carriage return."""
    if "\r" not in text:
        return text
    return "\n".join(_last_written(line) for line in text.split("\n"))


def _last_written(line: str) -> str:
    body = line.rstrip("\r")
    return body.rpartition("\r")[2] + line[len(body) :]


class Budget:
    """How much room is left in a notebook for outputs that are no plain streams."""

    def __init__(self) -> None:
        """All of it."""
        self._left = RICH_LIMIT

    def fit(self, content: Mapping[str, Any], *, is_update: bool) -> dict[str, Any]:
        """Return a message's content, its data replaced by a remark if there is no room for it.

        is_update: whether it takes the place of an output that is there already, and so needs no room of its own.
        """
        size = size_of(content["data"])
        if size > self._left:
            return {**content, "data": {"text/plain": remark(size)}, "metadata": {}}
        if not is_update:
            self._left -= size
        data = {kind: redact(value) if _is_text(kind, value) else value for kind, value in content["data"].items()}
        return {**content, "data": data}


def _is_text(kind: str, value: Any) -> bool:
    return isinstance(value, str) and (kind.startswith("text/") or kind == "image/svg+xml")


def size_of(data: Mapping[str, Any]) -> int:
    """Return the characters of an output's data, of all forms that it comes in."""
    return sum(len(value) if isinstance(value, str) else len(json.dumps(value)) for value in data.values())


def remark(size: int, where: str = "") -> str:
    """Return the text that stands in the place of an output of ``size`` characters; where: what holds it."""
    return f"[An output of {size / 1e6:,.1f} MB is left out here{where}.]"


def short_error(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of an error message with its texts redacted and cut."""
    traceback = [shortened(redact(entry), ERROR_LIMIT) for entry in content.get("traceback") or []]
    evalue = shortened(redact(str(content.get("evalue", ""))), ERROR_LIMIT)
    return {**content, "evalue": evalue, "traceback": traceback[:200]}
