"""A notebook's file as the runner reads it: its cells, what their code says, and whether it can be run at all."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quire.errors import ConfigError
from quire.flow.source_facts import SourceFacts, read_source_facts
from quire.flow.syntax import UNKNOWN, parse

Cell = dict[str, Any]

_MAGIC = re.compile(r"^(\s*)(?:[\w, ]+=\s*)?([%!].*|\?.*|.*\?)$")
_HARMLESS = ("matplotlib", "load_ext", "reload_ext", "autoreload", "config", "precision", "pylab", "env", "set_env")
"""Line magics that read no file."""

_TIMERS = ("time", "timeit", "prun", "memit", "capture", "mprun", "lprun")
"""Magics around Python code, which counts as it would without them."""

_SETS = re.compile(r"%(?:set_env|env)\s+(\w+)(?:\s*=|\s+)\S")
_WORD = re.compile(r"[^\s'\"=;|<>(),]+")


def read_notebook(path: Path) -> dict[str, Any]:
    """Return the content of a notebook's file, with metadata and tags of every cell as they should be.

    Some editors write ``null`` for what is not there, or one tag as a text. Raises ConfigError if it is no notebook, or
    one of another language.
    """
    content = _parsed(path)
    content["metadata"] = content.get("metadata") or {}
    content["cells"] = [_mended(cell) for cell in content["cells"]]
    _refuse_other_languages(path, content["metadata"])
    return content


def read_cells(path: Path) -> list[Cell]:
    """Return the cells of a notebook's file; see `read_notebook`."""
    return list(read_notebook(path)["cells"])


def source_of(cell: Cell) -> str:
    """Return a cell's text, which the file holds as one text or as a list of lines."""
    source = cell.get("source") or ""
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: Cell) -> list[str]:
    """Return the tags of a cell."""
    return list(cell["metadata"]["tags"])


def python_of(cell: str) -> str:
    """Return the Python of a cell's text: without magics, and what is IPython's own."""
    return _split(cell)[0]


def notebook_facts(path: Path) -> list[SourceFacts]:
    """Return the facts of every code cell but the parameters cell, whose values count instead.

    Magics count as the text that they are; of a cell that is no Python at all every word may be a file, and all of
    `quire` may be used.
    """
    cells = [source_of(cell) for cell in read_cells(path) if _is_code(cell) and "parameters" not in tags_of(cell)]
    python, other = [], []
    for cell in cells:
        code, magics = _split(cell)
        if not _parses(code):
            code, magics = _lines_that_parse(code), [*magics, code]
            python.append("import quire; quire")
        python.append(code)
        other += magics
    facts = read_source_facts("\n\n".join(python))
    return [facts, *([_facts_of_magics(other)] if other else [])]


def _parsed(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    try:
        content = json.loads(data.decode("utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"expected an object, found {type(content).__name__}")
        if "worksheets" in content:
            raise KeyError("cells")
        if not isinstance(content["cells"], list) or not all(isinstance(cell, dict) for cell in content["cells"]):
            raise TypeError("cells is no list of objects")
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path} is not a notebook (nbformat 4): {reason}. {_remedy(path, data)}") from None
    return content


def _remedy(path: Path, data: bytes) -> str:
    """Return what to do about a file that is not a notebook of format 4."""
    if not data.strip():
        return "The file is empty: bring it back from git, or make it anew in JupyterLab."
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return "It begins with a byte order mark: save it as UTF-8 without one."
    if re.search(rb"^\s*(<{7}|={7}|>{7})", data, re.MULTILINE):
        return "It holds the marks of a merge conflict: resolve it, for example by `nbdime mergetool`."
    if b'"worksheets"' in data or re.search(rb'"nbformat":\s*[123]\b', data):
        return f"It is of an older format: bring it to format 4 by `jupyter nbconvert --to notebook --inplace {path}`."
    return "Open it in JupyterLab and save it, or bring back a whole version from git."


def _mended(cell: Cell) -> Cell:
    metadata = cell.get("metadata")
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    tags = metadata.get("tags")
    tags = [tags] if isinstance(tags, str) else tags if isinstance(tags, list) else []
    mended = {**cell, "metadata": {**metadata, "tags": [tag for tag in tags if isinstance(tag, str)]}}
    if cell.get("source") is None:
        mended["source"] = ""
    if cell.get("cell_type") == "code" and not isinstance(cell.get("outputs"), list):
        mended |= {"outputs": [], "execution_count": None}
    return mended


def _refuse_other_languages(path: Path, metadata: dict[str, Any]) -> None:
    kernel = metadata.get("kernelspec") if isinstance(metadata.get("kernelspec"), dict) else {}
    info = metadata.get("language_info") if isinstance(metadata.get("language_info"), dict) else {}
    assert kernel is not None
    assert info is not None
    language = str(kernel.get("language") or info.get("name") or "python")
    if "python" not in language.lower():
        name = kernel.get("name") or kernel.get("display_name") or "without a name"
        raise ConfigError(
            f"{path} is written in {language} (kernelspec {name!r}); a run executes Python. Write the stage in Python, "
            "or call the other language from it, for example by subprocess; if the cells are Python, choose the kernel "
            "'Python 3' in JupyterLab and save."
        )


def _is_code(cell: Cell) -> bool:
    return cell.get("cell_type") == "code"


def _split(cell: str) -> tuple[str, list[str]]:
    """Return the Python of a cell, and the lines of it that are IPython's own."""
    lines = cell.splitlines()
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if lines and lines[first].startswith("%%"):
        name = lines[first][2:].split(maxsplit=1)[0] if lines[first][2:].strip() else ""
        if name not in _TIMERS:
            return "", [cell]
        code, magics = _split("\n".join(lines[first + 1 :]))
        return code, [lines[first], *magics]
    if _parses(cell):
        return cell, []
    python, magics = [], []
    for line in lines:
        match = _MAGIC.match(line)
        if match is None or _parses(line.strip()):
            python.append(line)
            continue
        magics.append(match[2])
        python.append(match[1] + (_timed(match[2]) or "pass"))
    return "\n".join(python), magics


def _timed(magic: str) -> str:
    """Return the Python that a line such as ``%time f(x)`` executes, or an empty text."""
    name, _, code = magic.lstrip("%").partition(" ")
    return code.strip() if name in _TIMERS and _parses(code.strip()) else ""


def _lines_that_parse(code: str) -> str:
    return "\n".join(line.strip() for line in code.splitlines() if _parses(line.strip()))


def _facts_of_magics(magics: list[str]) -> SourceFacts:
    words = {word for text in magics for word in _WORD.findall(text)}
    return SourceFacts(
        digest=hashlib.sha256("\n".join(magics).encode()).hexdigest(),
        attributes=("chdir",) if any(_name_of(magic) == "cd" for magic in magics) else (),
        paths=tuple(sorted(word for word in words if re.search(r"\w", word))),
        sets=tuple(sorted(set(_set_by(magics)))),
        walks=any(_name_of(magic) not in (*_HARMLESS, *_TIMERS) for magic in magics),
    )


def _set_by(magics: list[str]) -> Iterator[str]:
    for magic in magics:
        for line in magic.splitlines():
            if _name_of(line) in ("env", "set_env", "dotenv"):
                match = _SETS.match(line.strip())
                yield from [match[1]] if match else ([UNKNOWN] if "dotenv" in line else [])


def _name_of(magic: str) -> str:
    return magic.strip().lstrip("%").split(maxsplit=1)[0] if magic.strip().lstrip("%") else ""


def _parses(text: str) -> bool:
    try:
        parse(text)
    except (SyntaxError, ValueError):  # Python 3.11 raises the latter for a null byte
        return False
    return True
