"""The words of a notebook: what an edit changes without changing a result. A reused stage shows the new ones."""

import hashlib
import json
from pathlib import Path
from typing import Any

from quire.flow.notebook import read_cells, source_of
from quire.flow.record import write_whole

_INJECTED = "injected-parameters"
_BANNER = "papermill-error-cell-tag"

Cell = dict[str, Any]


def digest(notebook: Path) -> str:
    """Return the SHA-256 of the notebook's text cells, of their places among the code, and of the tags."""
    words = [
        (cell.get("cell_type"), "" if _is_code(cell) else source_of(cell), _tags(cell)) for cell in read_cells(notebook)
    ]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def is_recut(executed: Path, notebook: Path) -> bool:
    """Whether the notebook's code is cut into other cells than it ran in, so that outputs have lost their places."""
    ran = _ran(json.loads(executed.read_text(encoding="utf-8")))
    return len(ran) != sum(map(_is_code, read_cells(notebook)))


def renew(executed: Path, notebook: Path, target: Path) -> None:
    """Write the executed notebook with the text cells and tags that ``notebook`` has now; its code stays as it ran."""
    content = json.loads(executed.read_text(encoding="utf-8"))
    injected = [cell for cell in content["cells"] if _INJECTED in _tags(cell)]
    outputs = iter(_ran(content))
    renewed: list[Cell] = []
    for cell in read_cells(notebook):
        renewed.append(_with_tags(next(outputs), _tags(cell)) if _is_code(cell) else cell)
        if "parameters" in _tags(cell):
            renewed += injected
    write_whole(target, json.dumps({**content, "cells": renewed}, indent=1, ensure_ascii=False))


def _ran(content: dict[str, Any]) -> list[Cell]:
    """Return the code cells of an executed notebook without those that papermill put in."""
    return [cell for cell in content["cells"] if _is_code(cell) and not {_INJECTED, _BANNER} & {*_tags(cell)}]


def _is_code(cell: Cell) -> bool:
    return cell.get("cell_type") == "code"


def _tags(cell: Cell) -> list[str]:
    return list(cell.get("metadata", {}).get("tags", []))


def _with_tags(cell: Cell, tags: list[str]) -> Cell:
    return {**cell, "metadata": {**cell["metadata"], "tags": tags}}
