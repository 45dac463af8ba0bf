"""Why a stage failed, as a person can act on it: notebook, cell, its lines, a short traceback, how to go on."""

import errno
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quire import errors
from quire.errors import StageFailed
from quire.flow.graph import Task
from quire.page.numbers import shortened
from quire.redaction import redact_all

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_KEPT = re.compile(r"Cell In|File |\s*-+> ?\d+")
"""Lines of a notebook's traceback that are kept: where each frame is, and its line."""

_MOST_FRAMES = 6

MESSAGE_LIMIT = 5_000
"""Characters of a message, and of a cell's source, in run.json, on pages, the terminal, in MLflow and alerts."""

_LINE_LIMIT = 300
_STDERR_LINES = 5

MAKE_ROOM = "The disk is full: free some space, for example by `quire clean --keep 5`."

LESS = "Use fewer rows or a smaller search, run fewer stages side by side (--jobs 1), or a machine with more memory."
"""What to do when memory runs out."""


class CellFailed(StageFailed):
    """A failure whose cell is known though it left no traceback."""

    def __init__(self, message: str, cell: int | None = None, source: str = "") -> None:
        """cell: its number among the code cells, from 1; source: its lines."""
        super().__init__(message)
        self.cell = cell
        self.source = source


class TimedOut(CellFailed):
    """A cell or a stage took longer than workflow.yaml allows."""


class KernelDied(CellFailed):
    """The kernel's process ended or stopped answering."""


class OutOfMemory(CellFailed):
    """The operating system ended the kernel for lack of memory."""


def describe(task: Task, error: Any) -> dict[str, Any]:
    """Return what run.json holds of a failure, redacted; of a failed cell also number, source and traceback."""
    described: dict[str, Any] = {"kind": type(error).__name__, "message": _plain(error), "notebook": task.notebook.name}
    if hasattr(error, "ename"):
        described |= {"kind": error.ename, "message": _plain(error.evalue), "traceback": shorten(error.traceback)}
        described |= {"cell": error.exec_count, "source": shortened(error.source, MESSAGE_LIMIT)}
    elif getattr(error, "cell", None):
        described |= {"cell": error.cell, "source": shortened(error.source, MESSAGE_LIMIT)}
    described["message"] = shortened(error_message(described["message"]), MESSAGE_LIMIT)
    if is_full_disk(error):
        described["message"] += f" {MAKE_ROOM}"
    if described["kind"] == "MemoryError":
        described["message"] = f"{described['message'].rstrip('.')}. Memory ran out. {LESS}"
    return redact_all(described)


def error_message(message: str, stderr: str = "", traceback: Sequence[str] = ()) -> str:
    """Return the message, or what comes closest where it is empty: the last lines of stderr, the line that raised."""
    if message.strip():
        return message
    lines = [line for line in _plain(stderr).splitlines() if line.strip()]
    if lines:
        return "\n".join(lines[-_STDERR_LINES:])
    source_lines = re.findall(r"^-+> ?\d+ (.*)$", _plain("\n".join(traceback)), re.MULTILINE)
    return f"no message; it was raised by `{source_lines[-1].strip()}`" if source_lines else "no message"


def is_full_disk(error: Any) -> bool:
    """Whether ``error``, of this process or of a cell, says that there is no room left on the disk."""
    text = getattr(error, "evalue", "") if hasattr(error, "ename") else str(error)
    return getattr(error, "errno", None) == errno.ENOSPC or f"[Errno {errno.ENOSPC}]" in text


def shorten(traceback: list[str]) -> list[str]:
    """Return where each frame of a notebook's traceback is, with its line, without colours; the cell's frame first."""
    frames = [
        [line.rstrip()[:_LINE_LIMIT] for line in _plain(part).splitlines() if _KEPT.match(line)] for part in traceback
    ]
    frames = [frame for frame in frames if frame]
    if len(frames) > _MOST_FRAMES:
        frames = [frames[0], [f"... {len(frames) - _MOST_FRAMES} more"], *frames[1 - _MOST_FRAMES :]]
    return [line for frame in frames for line in frame]


def exit_code(error: dict[str, Any] | None) -> int:
    """Return the exit code for a failed stage: that of the error's class if it is one of ours, else 4."""
    kind = getattr(errors, (error or {}).get("kind", ""), None)
    if isinstance(kind, type) and issubclass(kind, errors.QuireError):
        return kind.exit_code
    return StageFailed.exit_code


def is_worth_retrying(error: BaseException) -> bool:
    """Whether the same notebook may well succeed in another attempt: not if data or configuration are at fault."""
    kind = getattr(errors, getattr(error, "ename", type(error).__name__), None)
    lasting = (errors.ConfigError, errors.DataError)
    return not (isinstance(kind, type) and issubclass(kind, lasting))


def explain(name: str, stage: dict[str, Any], *, params: str, workflow: str, folder: Path) -> str:
    """Return the failure of a stage as text for the terminal, the alert and MLflow."""
    error = stage["error"]
    location = f"{error['notebook']}, cell {error['cell']}" if error.get("cell") else error["notebook"]
    lines = [f"Stage {name} failed in {location}: {error['kind']}: {error['message']}"]
    if error.get("source"):
        lines += ["", *(f"    {line}" for line in error["source"].splitlines())]
    if error.get("traceback"):
        lines += ["", *(f"  {line}" for line in error["traceback"])]
    lines.append("")
    lines += [f"{kind + ':':<10}{folder / stage[kind]}" for kind in ("notebook", "report") if stage.get(kind)]
    option = "" if workflow == "train" else f" --workflow {workflow}"
    lines.append(f"Once it is mended, go on from here: quire run params/{params}{option}")
    return "\n".join(lines)


def _plain(text: Any) -> str:
    return _COLOUR.sub("", str(text))
