"""The runs that there are, and what differs between two."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quire.io import run_folder
from quire.io.run_folder import read_record
from quire.io.runs import find as find_run


def runs(outputs: Path, *, params: str = "") -> Iterator[dict[str, Any]]:
    """Yield run.json of every run, newest first; only those of ``params`` if given."""
    for _, record in run_folder.records(outputs, params=params):
        yield record


def find(outputs: Path, run_id: str, *, params: str = "") -> Path:
    """Return the folder of the run whose id starts or ends with ``run_id``; ``latest`` is the newest of ``params``.

    Raises ArtifactError if there is none or more than one.
    """
    return find_run(outputs, run_id, params=params)


def previous(outputs: Path, record: Mapping[str, Any]) -> Path | None:
    """Return the folder of the newest earlier run of the same params, workflow and alias that succeeded, or None."""
    same = ("params", "workflow", "alias")
    for other in runs(outputs, params=record["params"]):
        is_experiment = bool(other.get("try")) and not record.get("try")
        if other["run_id"] >= record["run_id"] or other["status"] != "succeeded" or is_experiment:
            continue
        if all(other.get(key) == record.get(key) for key in same):
            return outputs / "runs" / other["run_id"]
    return None


Differences = dict[str, dict[str, tuple[Any, Any]]]
"""What -> name -> (in the old run, in the new run)."""


def compare(old: Path, new: Path) -> Differences:
    """Return what differs between the runs in two folders, from parameters to versions of libraries."""
    views = {
        "run": _about,
        "parameters": _parameters,
        "metrics": metrics,
        "status": lambda folder: _stages(folder, "status"),
        "seconds": lambda folder: _stages(folder, "seconds"),
        "artifacts": _artifacts,
        "versions": lambda folder: read_record(folder).get("versions", {}),
    }
    return {section: _different(view(old), view(new)) for section, view in views.items()}


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*old, *new])
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _about(folder: Path) -> dict[str, Any]:
    record = read_record(folder)
    return {name: record.get(name) for name in ("params", "workflow", "as_of", "alias", "commit", "status")}


def _parameters(folder: Path) -> dict[str, Any]:
    stages = read_record(folder).get("parameters", {})
    return {f"{stage}.{name}": value for stage, values in stages.items() for name, value in values.items()}


def metrics(folder: Path) -> dict[str, float]:
    """Return the metrics of the answers of a run's stages, named stage.metric."""
    return {
        f"{stage}.{name}": value
        for stage, answer in run_folder.read_answers(folder).items()
        for name, value in (answer.get("metrics") or {}).items()
    }


def _stages(folder: Path, what: str) -> dict[str, Any]:
    return {name: stage.get(what) for name, stage in read_record(folder)["stages"].items()}


def _artifacts(folder: Path) -> dict[str, Any]:
    return {
        f"{name}/{artifact['name']}": f"{artifact.get('bytes')} bytes, {str(artifact.get('sha256'))[:8]}"
        for name, stage in read_record(folder)["stages"].items()
        for artifact in stage.get("artifacts", [])
        if not artifact["name"].startswith("_")
    }
