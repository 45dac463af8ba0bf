"""Which runs there are below ``outputs/runs``, as their run.json says, and which of them is meant.

A run that is tried out (``quire run --try``) or belongs to a backfill is a run like any other, but never the latest one
that others take for the truth.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quire.errors import ArtifactError, near
from quire.io.run_folder import read_record, records

BACKFILL = "backfill"
"""The alias, and the start of the cause, of runs of the past; the live champion is not theirs."""

FOR_ANOTHER = "cluster"
"""The cause of a run that does stages for another one."""

LATEST = "latest"


def read(folder: Path) -> dict[str, Any]:
    """Return what run.json in ``folder`` says; nothing where it cannot be read as the record of a run."""
    try:
        return read_record(folder)
    except ArtifactError:
        return {}


def is_live(record: Mapping[str, Any]) -> bool:
    """Whether the run tells of the present: no experiment, no part of a backfill, no stages done for another run."""
    cause = str(record.get("cause") or "")
    is_past = record.get("alias") == BACKFILL or cause.startswith(f"{BACKFILL} ")
    return not (record.get("try") or is_past or cause == FOR_ANOTHER)


def ended(outputs: Path, params: str) -> Iterator[Path]:
    """Yield the folders of the live runs of ``params`` that have ended, whatever their status, the newest first."""
    for folder, record in records(outputs, params=params):
        if is_live(record) and record.get("status") != "running":
            yield folder


def succeeded(outputs: Path, params: str) -> Iterator[Path]:
    """Yield the folders of the live runs of ``params``: whole ones that succeeded, then others, newest first."""
    others: list[Path] = []
    for folder, record in records(outputs, params=params):
        if not is_live(record) or record["status"] == "running":
            continue
        if record.get("status") == "succeeded" and not record.get("partial"):
            yield folder
        else:
            others.append(folder)
    yield from others


def find(outputs: Path, run_id: str, *, params: str = "") -> Path:
    """Return the folder of the run whose id is, starts or ends with ``run_id``; ``latest`` is the newest one.

    params: only runs of this use case are meant. Raises ArtifactError if there is none or more than one, naming those
    whose ids are near, and the use case of a run of another.
    """
    run_ids = [folder.name for folder, _ in records(outputs, params=params)]
    if run_id == LATEST:
        if not run_ids:
            raise ArtifactError("There is no run yet. Make one: quire run.")
        return outputs / "runs" / run_ids[0]
    if run_id not in run_ids and run_id not in ("", ".", "..") and (outputs / "runs" / run_id).is_dir() and not params:
        return outputs / "runs" / run_id  # of which run.json is not whole; who reads it says so
    matches = [name for name in run_ids if name == run_id] or [
        name for name in run_ids if run_id and (name.startswith(run_id) or name.endswith(run_id))
    ]
    if len(matches) == 1:
        return outputs / "runs" / matches[0]
    if matches:
        raise ArtifactError(
            f"{len(matches)} runs match {run_id!r}: {', '.join(matches[:5])}{', ...' if len(matches) > 5 else ''}. "
            "Write more of the id."
        )
    raise ArtifactError(_no_match(outputs, run_id, params, run_ids))


def _no_match(outputs: Path, run_id: str, params: str, known: list[str]) -> str:
    if params:
        others = {record.get("params"): folder.name for folder, record in records(outputs) if _fits(folder, run_id)}
        if others:
            other, name = next(iter(others.items()))
            return f"Run {name} is one of params/{other}, not of params/{params}."
    ends = {name[-4:]: name for name in reversed(known)}
    hint = near(run_id, known) or near(run_id, ends)
    of = f" of params/{params}" if params else ""
    return f"No run{of} matches {run_id!r}; `quire runs` lists them.{hint}"


def _fits(folder: Path, run_id: str) -> bool:
    return bool(run_id) and (folder.name.startswith(run_id) or folder.name.endswith(run_id))
