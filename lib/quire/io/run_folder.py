"""The runs below ``outputs/runs``, read by one reader: what is no run, or a broken one, is passed over and named.

Whatever reads more than one run goes through here, so that a file of the Finder or an empty run.json after a power
cut is in nobody's way.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from quire.config.yaml import read_document
from quire.errors import ArtifactError, ConfigError

RECORD = "run.json"

SCHEMA = "schema.yaml"
"""A run keeps the schema that it read; config.yaml is not kept, since it may hold a secret that somebody wrote out."""

_REQUIRED: dict[str, type] = {"params": str, "status": str}
_DEFAULTS: dict[str, Any] = {
    "workflow": "train",
    "as_of": "",
    "alias": "",
    "cause": "",
    "commit": "",
    "partial": False,
    "parameters": {},
    "versions": {},
    "stages": {},
}
"""What a record of an older version, or of a test, may leave out."""

_STAGE_TYPES: dict[str, type | tuple[type, ...]] = {
    "artifacts": list,
    "signals": list,
    "error": dict,
    "needs": list,
    "seconds": (int, float),
    "why": str,
    "stopped": str,
    "notebook": str,
    "report": str,
}


@dataclass(frozen=True)
class UnreadableRun:
    """Something among the runs that is no run: where it is, and why it cannot be read as one."""

    path: Path
    reason: str


def read_record(folder: Path) -> dict[str, Any]:
    """Return the content of run.json in ``folder``; raises ArtifactError if it cannot be read as the record of a run.

    What is only missing of what newer versions write is filled in. A run's id is the name of its folder: a copy that
    somebody keeps beside it is a run of its own.
    """
    path = folder / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{folder} holds no {RECORD}: it is not a run. `quire runs` lists the runs.") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not whole: {error}. Remove the folder.") from None
    problem = _problem(content)
    if problem:
        raise ArtifactError(f"{path} is not the record of a run: {problem}. Remove the folder.")
    return {**_DEFAULTS, **content, "run_id": folder.name}


def schema_changes(folder: Path, params: Path) -> list[str]:
    """Return what of the schema that a run kept is not as in the folder ``params`` now: columns, and other keys.

    A run of an older version kept none; of it nothing is said, nor of a schema that cannot be read.
    """
    try:
        before, after = (_schema_parts(read_document(place / SCHEMA).raw) for place in (folder, params))
    except (ConfigError, OSError, ValueError):
        return []
    return [
        f"{name} {'is new' if name not in before else 'is gone' if name not in after else 'is another'}"
        for name in dict.fromkeys([*before, *after])
        if name not in before or name not in after or before[name] != after[name]
    ]


def _schema_parts(document: dict[str, Any]) -> dict[str, Any]:
    """Return the columns, and the keys beside them, by name."""
    columns = document.get("columns")
    column_parts = {f"column {name}": column for name, column in columns.items()} if isinstance(columns, dict) else {}
    return {name: value for name, value in document.items() if name != "columns"} | column_parts


def records(outputs: Path, *, params: str = "") -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield folder and record of every run, the newest first; only those of ``params`` if given."""
    for folder in folders(outputs):
        try:
            record = read_record(folder)
        except ArtifactError:
            continue
        if not params or record["params"] == params:
            yield folder, record


def strangers(outputs: Path) -> Iterator[UnreadableRun]:
    """Yield what lies among the runs and is none, the newest name first."""
    runs = outputs / "runs"
    if runs.exists() and not runs.is_dir():
        yield UnreadableRun(runs, f"{runs} is a file; a folder is expected.")
    for path in sorted(_children(runs), reverse=True):
        try:
            read_record(path)
        except ArtifactError as error:
            yield UnreadableRun(path, str(error))


def folders(outputs: Path) -> list[Path]:
    """Return what lies in ``outputs``/runs, hidden files aside, the newest run first; it need not all be runs."""
    return sorted((path for path in _children(outputs / "runs") if not path.name.startswith(".")), reverse=True)


def _children(runs: Path) -> list[Path]:
    try:
        return list(runs.iterdir())
    except OSError:
        return []


def read_answers(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what each stage of the run in ``folder`` answered, by stage; an answer that cannot be read is left out."""
    answers = {}
    for path in sorted(folder.glob("artifacts/*/_answer.json")):
        content = read_json(path)
        if isinstance(content, dict) and isinstance(content.get("headline", ""), str):
            answers[path.parent.name] = {"status": "neutral", "headline": "", **content}
    return answers


def data_as_of(folder: Path, record: Mapping[str, Any]) -> str:
    """Return the logical time of the data of the run in ``folder``, ISO 8601, as its ingest settled it.

    Empty for data without a time; what was asked for where no ingest has said it yet.
    """
    for path in sorted(folder.glob("artifacts/*/manifest.json")):
        manifest = read_json(path)
        if isinstance(manifest, dict) and "as_of" in manifest:
            return _moment(manifest["as_of"])
    return str(record.get("as_of") or "")


def _moment(value: Any) -> str:
    try:
        return datetime.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        return ""


def read_json(path: Path) -> Any:
    """Return the content of a file of a run, or None if it is not there or not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _problem(content: Any) -> str:
    """Return what keeps a file's content from being the record of a run, or an empty text."""
    if not isinstance(content, dict):
        return f"it holds {json.dumps(content)[:40]}, not a mapping"
    kinds = _REQUIRED | {key: type(value) for key, value in _DEFAULTS.items() if key in content}
    for key, kind in kinds.items():
        if not isinstance(content.get(key), kind):
            return f"{key} is {json.dumps(content.get(key))[:40]}"
    if not all(isinstance(values, dict) for values in content.get("parameters", {}).values()):
        return "parameters is no mapping of mappings"
    return _stage_problem(content.get("stages", {})) or _time_problem(content)


def _stage_problem(stages: Mapping[str, Any]) -> str:
    for name, stage in stages.items():
        if not isinstance(stage, dict) or not isinstance(stage.get("status"), str):
            return f"stages.{name} has no status"
        for key, kind in _STAGE_TYPES.items():
            if stage.get(key) is not None and not isinstance(stage[key], kind):
                return f"stages.{name}.{key} is {json.dumps(stage[key])[:40]}"
        for artifact in stage.get("artifacts") or []:
            if not isinstance(artifact, dict) or not isinstance(artifact.get("name"), str) or not artifact["name"]:
                return f"stages.{name}.artifacts holds {json.dumps(artifact)[:40]}"
    return ""


def _time_problem(content: Mapping[str, Any]) -> str:
    for key in ("started_at", "finished_at", "as_of"):
        value = content.get(key)
        if not value:
            continue
        try:
            datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return f"{key} is {json.dumps(value)[:40]}"
    if not isinstance(content.get("seconds") or 0, (int, float)):
        return f"seconds is {json.dumps(content['seconds'])[:40]}"
    return ""
