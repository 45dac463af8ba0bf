"""Named artifacts of a run: how notebooks hand data to each other, and tell the runner something.

A stage writes to ``outputs/runs/<run_id>/artifacts/<stage>/``; the runner passes that folder as ``run_dir``, and its
kernels a token that proves that they are its own. Whoever else executes a notebook does so by hand, whatever
``run_dir`` says: it reads the run that is meant, the latest if none is, and writes to ``outputs/scratch/<params>/``.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quire.config import Settings, moment
from quire.errors import ArtifactError, QuireError, near
from quire.io import notebook_values, results, run_folder, runs
from quire.io.permissions import PUBLISHES, TRACKS, TRY, held_back, is_executing

if TYPE_CHECKING:
    import pandas as pd

    from quire.io.frames import ParquetFrame

SUFFIXES = (".parquet", ".json", ".npy", "")
"""Parquet for frames, JSON for results, NumPy's own for arrays; any other file or folder is named with its suffix."""

SIGNALS = "_signals.json"
STOP = "_stop.json"
INPUTS = ".inputs"
"""What a stage read, a name a line; the runner compares it to know whether the stage must run again."""

ANSWER = "_answer"
CHART = "_chart"


class Stopped(QuireError):
    """A notebook ended early, with a reason; the runner takes it for success and skips what needs the stage."""

    exit_code = 0

    def _render_traceback_(self) -> list[str]:
        """Show the reason instead of a traceback in a notebook."""
        return [f"Stopped: {self}"]


@dataclass(frozen=True, repr=False)
class Run:
    """What a notebook knows of the run that it is part of."""

    settings: Settings
    reads: Path | None
    folder: Path
    kind: Literal["stage", "by hand", "ended"]
    """``stage``: of a run that is under way; ``by hand``; ``ended``: of a run that has ended, which is only read."""
    as_of: datetime | None
    held_back: str = ""
    """Why nothing that others see is changed: ``by hand``, ``--no-publish``, ``--try``; empty where it may be."""
    note: str = ""
    """What an experiment tries, as ``quire run --try`` was told."""
    parameter_notes: list[str] = field(default_factory=list)
    _borrowed: set[str] = field(default_factory=set)

    @property
    def by_hand(self) -> bool:
        """Whether the notebook is not executed by the runner as a stage of a run that is under way."""
        return self.kind == "by hand"

    @property
    def publishes(self) -> bool:
        """Whether the stage may move an alias, write to the database and alert."""
        self._note(PUBLISHES)
        return not self.held_back

    @property
    def tracks(self) -> bool:
        """Whether the stage may log to MLflow; an experiment (``--try``) may."""
        self._note(TRACKS)
        return self.held_back in ("", TRY)

    @property
    def run_id(self) -> str:
        """The run whose artifacts are read; ``none`` by hand with no run yet."""
        return self.reads.name if self.reads else "none"

    @property
    def stage(self) -> str:
        """The stage's name; the name of the params by hand."""
        return self.folder.name

    def parameters(self, notebook: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return, by hand, the values that params.yaml gives for what the parameters cell leaves at its default.

        notebook: the file's name without its ending. values: the notebook's variables, ``globals()``. In a run the
        runner has set all of them, and nothing is returned. What differs from the run that is read is said by `run`.
        """
        if not self.by_hand:
            return {}
        resolved = notebook_values.resolve(self.settings, self.reads, notebook, values)
        self.parameter_notes[:] = resolved.notes
        return resolved.values

    def save(self, name: str, value: Any) -> Path:
        """Keep ``value`` under ``name``; `load` gives it back. The file appears whole or not at all.

        Frames and series are kept as Parquet, with index, types and names of columns; arrays of NumPy as ``.npy``;
        anything else as JSON: see `quire.io.results`. Raises ArtifactError for what could not be given back as it is.
        """
        suffix, write = _format_of(value)
        with self.writing(f"{name}{suffix}") as path:
            write(path, value, name)
        for other in SUFFIXES:  # of an earlier value of another kind
            if other not in (suffix, ""):
                (self.folder / f"{name}{other}").unlink(missing_ok=True)
        return self.folder / f"{name}{suffix}"

    @contextmanager
    def writing(self, filename: str) -> Iterator[Path]:
        """Yield a path to write a file or a folder at; it takes the name ``filename`` when the block ends well."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial_path = self.folder / f".{filename}.{os.getpid()}.partial"
        try:
            yield partial_path
            final = self.folder / filename
            if final.is_dir():
                shutil.rmtree(final)
            os.replace(partial_path, final)
        finally:
            if partial_path.is_dir():
                shutil.rmtree(partial_path)
            else:
                partial_path.unlink(missing_ok=True)

    def load(self, name: str) -> Any:
        """Return the frame or the result that a stage saved under ``name``; raises ArtifactError if there is none."""
        return self._read(self.path(name))

    def scan(self, name: str) -> "ParquetFrame":
        """Return the frame ``name`` as it lies on disk, to be read in chunks; raises ArtifactError if there is none."""
        from quire.io.frames import ParquetFrame

        return ParquetFrame(self.path(name))

    def _read(self, path: Path) -> Any:
        """Return what was saved; of a frame that is too large for memory, a sample, the same one every time."""
        if path.suffix == ".parquet":
            from quire.io.frames import ParquetFrame

            return ParquetFrame(path).load(self.settings.config.memory_rows, self.settings.schema.key)
        if path.suffix == ".npy":
            import numpy as np

            return np.load(path, allow_pickle=False)
        return results.loads(path.read_text(encoding="utf-8"))

    def load_each(self, name: str) -> dict[str, Any]:
        """Return what each part of a fan-out saved under ``name``, by the part's stage name, sorted."""
        return {stage: self._read(path) for stage, path in self.path_each(name).items()}

    def path_each(self, name: str) -> dict[str, Path]:
        """Return where each part of a fan-out saved ``name``, by the part's stage name, sorted."""
        return {path.parent.name: path for path in sorted(self._candidates(name))}

    def path(self, name: str) -> Path:
        """Return where the artifact ``name`` (with its suffix, for other files) is; raises ArtifactError if nowhere."""
        candidates = self._candidates(name)
        if len(candidates) > 1:
            places = ", ".join(sorted(path.parent.name for path in candidates))
            raise ArtifactError(f"Run {self.run_id} holds {name!r} more than once: {places}. Use load_each({name!r}).")
        if candidates:
            return candidates[0]
        if self.reads is None:
            raise ArtifactError(
                f"There is no run of {self.settings.name!r} yet, so no {name!r} to read. "
                f"Run `quire run params/{self.settings.name}` first."
            )
        names = sorted(path.stem for path in self.reads.glob("artifacts/*/*") if not path.name.startswith((".", "_")))
        raise ArtifactError(
            f"Run {self.run_id} holds no artifact {name!r}; it holds: {', '.join(names) or 'none'}.{near(name, names)}"
        )

    def has(self, name: str) -> bool:
        """Whether a stage of the run saved ``name``."""
        return bool(self._candidates(name))

    def _candidates(self, name: str) -> list[Path]:
        if self.reads is None:
            return []
        self._note(name)
        for run in self._runs():
            if places := _saved(run, name):
                self._tell_borrowed(name, run)
                return places
        return []

    def _runs(self) -> Iterator[Path]:
        """Yield the run's folder; by hand also those of older runs, for what it does not hold."""
        if self.reads is not None:
            yield self.reads
            if self.by_hand:
                others = runs.succeeded(self.settings.outputs, self.settings.name)
                yield from (other for other in others if other.name < self.reads.name)

    def _tell_borrowed(self, name: str, run: Path) -> None:
        """Say by name, once, that something comes from another run than the one that is read."""
        if run != self.reads and name not in self._borrowed:
            self._borrowed.add(name)
            print(f"By hand: run {self.run_id} holds no {name!r}; it comes from run {run.name}.", file=sys.stderr)

    def _note(self, name: str) -> None:
        """Write down that this stage depends on ``name``, whether it is there or not."""
        if self.kind == "stage":
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / INPUTS).open("a", encoding="utf-8") as file:
                file.write(f"{name}\n")

    def answer(self, answer: Any, chart: Any = None) -> None:
        """Hand the stage's answer, and a chart of it, to the run's index page; ``report.answer`` makes one."""
        self.save(ANSWER, answer)
        if chart is not None:
            with self.writing(f"{CHART}.svg") as path:
                chart.figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})

    def signal(self, name: str, reason: str) -> None:
        """Tell the runner something, such as ``retrain``; workflow.yaml says what follows."""
        signals = read_signals(self.folder)
        with self.writing(SIGNALS) as path:
            path.write_text(json.dumps([*signals, {"name": name, "reason": reason}], indent=2), encoding="utf-8")

    def stop(self, reason: str) -> None:
        """End the notebook here: the run is a success, what needs this stage is skipped, and the reason is shown."""
        with self.writing(STOP) as path:
            path.write_text(json.dumps({"reason": reason}), encoding="utf-8")
        raise Stopped(reason)

    def __str__(self) -> str:
        """Say which run this is; by hand, what is read, and that nothing shared is touched."""
        if not self.by_hand:
            restriction = f" {self.held_back}: no alias moves, and nothing is written to the database or alerted."
            return (
                f"Run {self.run_id} of {self.settings.name}, stage {self.stage}.{restriction if self.held_back else ''}"
            )
        folder = os.path.relpath(self.folder, self.settings.root)
        first = (
            f"By hand: reads run {self.run_id} of {self.settings.name}{self._about()}, writes to {folder}/. "
            "No alias moves, and nothing is written to the database or alerted."
        )
        return "\n".join([first, *self._schema_notes(), *self.parameter_notes])

    __repr__ = __str__

    def _about(self) -> str:
        """Return status, workflow and logical time of the run that is read, and what else should be known of it."""
        if self.reads is None:
            return ""
        record = runs.read(self.reads)
        parts = [str(record.get("status", "")), f"workflow {record['workflow']}" if record.get("workflow") else ""]
        parts += [f"experiment: {record['try']}" if record.get("try") else ""]
        parts += [f"as of {self.as_of.isoformat() if self.as_of else _end_of_source(self.reads)}"]
        run_as_of = record.get("as_of")
        if run_as_of and self.as_of and moment(run_as_of) != self.as_of:
            parts[-1] += f" (the run: {run_as_of})"
        return f" ({', '.join(filter(None, parts))})"

    def _schema_notes(self) -> Iterator[str]:
        """Yield a sentence where schema.yaml is not what it was when the run that is read began."""
        if self.reads and (changes := run_folder.schema_changes(self.reads, self.settings.folder)):
            schema_path = os.path.relpath(self.reads / run_folder.SCHEMA, self.settings.root)
            yield f"schema.yaml has changed since that run ({', '.join(changes)}); that of the run is {schema_path}."

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in str(self).splitlines())


def open(settings: Settings, run_dir: str = "", as_of: str = "") -> Run:
    """Return the run that a notebook is part of, or, by hand, the run that it reads.

    run_dir: as the runner gives it, the folder for this stage's artifacts; by hand the run to read: its id, which may
    be shortened, its folder or that of one of its stages; empty for the latest. as_of: the logical time, ISO 8601;
    empty for that of the run, else of config.yaml, else the end of the source.
    Raises ArtifactError if the run that is meant is not there, or is one of other params.
    """
    folder = settings.root / run_dir
    if run_dir and is_executing(folder, settings.run_token):
        return open_stage(settings, run_dir, as_of)
    reads = _meant(settings, run_dir)
    at = as_of or (runs.read(reads).get("as_of") if reads else "") or settings.config.as_of
    scratch = settings.outputs / "scratch" / settings.name
    return Run(settings, reads, scratch, "by hand", moment(at) if at else None, held_back="by hand")


def open_stage(settings: Settings, run_dir: str, as_of: str = "") -> Run:
    """Return the run as the stage sees it whose artifacts are kept in ``run_dir``; for whoever makes a run."""
    folder = settings.root / run_dir
    record = runs.read(folder.parent.parent)
    at = as_of or settings.config.as_of
    return Run(
        settings, folder.parent.parent, folder, "stage", moment(at) if at else None,
        held_back=held_back(record), note=str(record.get("try") or ""),
    )  # fmt: skip


def open_ended(settings: Settings, run: Path) -> Run:
    """Return a run that has ended, to be read only: nothing is written to it, and nothing comes from other runs."""
    at = runs.read(run).get("as_of")
    return Run(settings, run, run / "artifacts" / "evaluate", "ended", moment(at) if at else None)


def _meant(settings: Settings, run_dir: str) -> Path | None:
    """Return the run to read by hand, or None where none is named and there is none yet."""
    if not run_dir and settings.live:  # the dashboard shows what can be relied on
        return next(runs.succeeded(settings.outputs, settings.name), None)
    if not run_dir:
        return latest(settings.outputs, settings.name)
    folder = settings.root / run_dir
    if folder.parent.name == "artifacts":
        folder = folder.parent.parent
    if runs.read(folder).get("params") == settings.name:
        return folder.resolve()
    try:
        return runs.find(settings.outputs, folder.name, params=settings.name)
    except ArtifactError as error:
        raise ArtifactError(f'{error} By hand, run_dir = "" reads the latest.') from None


def count_rows(frame: "pd.DataFrame") -> dict[str, int]:
    """Return how many rows a loaded frame has (``used``), and how many there were (``of``): more if it is a sample."""
    from quire.io.frames import WHOLE_ROWS

    return {"used": len(frame), "of": int(frame.attrs.get(WHOLE_ROWS, len(frame)))}


def _saved(run: Path, name: str) -> list[Path]:
    return [
        path
        for folder in sorted((run / "artifacts").glob("*"))
        for suffix in SUFFIXES
        if (path := folder / f"{name}{suffix}").exists()
    ]


def latest(outputs: Path, params: str) -> Path | None:
    """Return the folder of the newest live run of ``params`` that has ended and holds an artifact, or None."""
    return next((run for run in runs.ended(outputs, params) if _holds_any(run)), None)


def _end_of_source(run: Path) -> str:
    """Return the logical time that ingest resolved where none was asked for, as its manifest says."""
    return run_folder.data_as_of(run, {}) or "the end of its source"


def _holds_any(run: Path) -> bool:
    return any(not path.name.startswith((".", "_")) for path in run.glob("artifacts/*/*"))


def read_signals(folder: Path) -> list[dict[str, str]]:
    """Return the signals, each with name and reason, that a stage with its artifacts in ``folder`` gave."""
    path = folder / SIGNALS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def read_stop(folder: Path) -> str:
    """Return the reason why a stage with its artifacts in ``folder`` ended early, or an empty text."""
    path = folder / STOP
    return json.loads(path.read_text(encoding="utf-8"))["reason"] if path.exists() else ""


def _format_of(value: Any) -> tuple[str, Callable[[Path, Any, str], None]]:
    """Return the ending of the file that keeps ``value``, and what writes it."""
    from quire.io import stored_frames

    if stored_frames.is_tabular(value):
        return ".parquet", lambda path, frame, name: stored_frames.write(path, frame, name=name)
    if type(value).__module__ == "numpy" and type(value).__name__ == "ndarray":
        return ".npy", _write_array
    return ".json", _write_result


def _write_array(path: Path, value: Any, name: str) -> None:
    import numpy as np

    if value.dtype.hasobject:
        raise ArtifactError(f"artifact {name!r} is an array of objects; make it one of numbers or texts, or a list.")
    with path.open("wb") as file:
        np.save(file, value, allow_pickle=False)


def _write_result(path: Path, value: Any, name: str) -> None:
    path.write_text(results.dumps(value, name=name) + "\n", encoding="utf-8")
