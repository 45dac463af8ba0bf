"""What the parameters of a notebook are by hand: default < params.yaml < what a person changed in the parameters cell.

In a run papermill sets every value. By hand the cell holds its defaults, and whoever changes one in JupyterLab changes
the file. What the default was is known from the notebook that the run executed, and from the last commit.
"""

import ast
import json
import subprocess
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.config import Settings
from quire.errors import ConfigError, near
from quire.io import runs

SUPPLIED = ("params", "run_dir", "as_of")
SHOWN = 60
"""Characters of a value in a note."""


@dataclass(frozen=True)
class Resolved:
    """The values to set, by name, and what is to be said of them, a sentence each."""

    values: dict[str, Any]
    notes: tuple[str, ...]


def resolve(settings: Settings, run: Path | None, notebook: str, values: Mapping[str, Any]) -> Resolved:
    """Return the values of a notebook's parameters by hand, where they are not what ``values`` says already.

    run: the folder of the run that is read. notebook: the file's name without its ending, or that of a stage.
    Raises ConfigError if params.yaml sets a parameter that the notebook does not have.
    """
    stage = _stage(settings, notebook)
    if not stage:
        return Resolved({}, ())
    configured = _configured(settings, stage, values)
    record = runs.read(run) if run else {}
    task = _task(record, stage)
    defaults = list(_defaults(settings, run, task, settings.workflow.stages[stage].notebook))
    names = [name for name in dict.fromkeys(name for cell in defaults for name in cell) if name not in SUPPLIED]
    untouched = [name for name in names if any(_is_same(values.get(name), cell.get(name)) for cell in defaults)]
    overrides = {name: deepcopy(configured[name]) for name in untouched if name in configured}
    final = {name: overrides.get(name, values.get(name)) for name in names}
    changed_names = [name for name in overrides if not _is_same(overrides[name], values.get(name))]
    notes = [f"From params.yaml, {stage}: {', '.join(changed_names)}."] if changed_names else []
    return Resolved(overrides, (*notes, *_differences(final, record.get("parameters", {}).get(task), configured, run)))


def cell_values(notebook: str) -> dict[str, Any]:
    """Return the literals that the parameters cell of a notebook, given as its text, assigns; none if it has none."""
    try:
        cells = json.loads(notebook)["cells"]
        texts = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
        return {name: value for node in ast.parse("\n".join(texts)).body for name, value in _assigned(node)}
    except (ValueError, KeyError, TypeError, SyntaxError):
        return {}


def _assigned(node: ast.stmt) -> Iterator[tuple[str, Any]]:
    target = (
        node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
    )
    if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value is not None:
        yield target.id, ast.literal_eval(node.value)


def _stage(settings: Settings, notebook: str) -> str:
    """Return the stage that executes ``notebook``, or an empty text where the workflow has none."""
    stages = settings.workflow.stages
    if notebook in stages:
        return notebook
    return next((name for name, stage in stages.items() if Path(stage.notebook).stem == Path(notebook).stem), "")


def _configured(settings: Settings, stage: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what params.yaml sets, and, of a stage that fans out, the values of its first part."""
    section = settings.params.get(stage, {})
    unknown = [name for name in section if name not in values]
    if unknown:
        parameters = [name for name in cell_values(_read(_path(settings, stage))) if name not in SUPPLIED]
        raise ConfigError(
            f"{settings.folder / 'params.yaml'}: {stage}.{unknown[0]} is no parameter of this notebook; "
            f"it has: {', '.join(parameters) or 'none'}.{near(unknown[0], parameters)}"
        )
    part = {name: options[0] for name, options in settings.workflow.stages[stage].for_each.items() if options}
    return {**section, **part}


def _task(record: Mapping[str, Any], stage: str) -> str:
    """Return the stage's name in a run; of a stage that fans out, that of its first part."""
    return next((name for name in record.get("stages", {}) if name.partition(".")[0] == stage), stage)


def _defaults(settings: Settings, run: Path | None, task: str, notebook: str) -> Iterator[dict[str, Any]]:
    """Yield the values of the parameters cell as the run executed it and as it is committed, else as the file says."""
    executed = cell_values(_read(run / "notebooks" / f"{task}.ipynb")) if run else {}
    committed = cell_values(_committed(settings.root, f"notebooks/{notebook}.ipynb"))
    yield from filter(None, (executed, committed))
    if not (executed or committed):
        yield cell_values(_read(settings.root / "notebooks" / f"{notebook}.ipynb"))


def _path(settings: Settings, stage: str) -> Path:
    return settings.root / "notebooks" / f"{settings.workflow.stages[stage].notebook}.ipynb"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _committed(root: Path, path: str) -> str:
    """Return the text of a file as the last commit has it; empty without git, or where the file is not committed."""
    command = ["git", "-C", str(root), "show", f"HEAD:./{path}"]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=True).stdout.decode("utf-8")
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError):
        return ""


def _differences(
    final: Mapping[str, Any], theirs: Mapping[str, Any] | None, configured: Mapping[str, Any], run: Path | None
) -> Iterator[str]:
    """Yield a sentence that names the values that are not those of the run, else not those of params.yaml."""
    other = configured if theirs is None else theirs
    label = "params.yaml" if theirs is None else "the run"
    different = [
        f"{name} = {_short(value)} ({label}: {_short(other[name])})"
        for name, value in final.items()
        if name in other and not _is_same(value, other[name])
    ]
    if different:
        reference = f"run {run.name}" if theirs is not None and run else "params.yaml"
        yield f"Not as in {reference}: {'; '.join(different)}."
    elif theirs is not None and run and final:
        yield f"All parameters are those of run {run.name}."


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON, so that True is not 1."""
    return json.dumps(one, sort_keys=True, default=repr) == json.dumps(other, sort_keys=True, default=repr)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
