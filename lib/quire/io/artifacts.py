"""Named artifacts of a run: how notebooks hand data to each other, and tell the runner something.

A stage writes to ``outputs/runs/<run_id>/artifacts/<stage>/``; the runner passes that folder as ``run_dir``. Without
one a notebook runs by hand: it reads the latest run of its params and writes to ``outputs/scratch/<params>/``.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire.config import Settings, moment
from quire.errors import ArtifactError, QuireError, near
from quire.io import run_folder

if TYPE_CHECKING:
    import pandas as pd

    from quire.io.frames import Stored

SUFFIXES = (".parquet", ".json", "")
"""Parquet for frames, JSON for results; any other file and any folder is named with its suffix."""

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


@dataclass(frozen=True)
class Run:
    """What a notebook knows of the run that it is part of."""

    settings: Settings
    reads: Path | None
    folder: Path
    by_hand: bool
    as_of: datetime | None

    @property
    def run_id(self) -> str:
        """The run whose artifacts are read; ``none`` by hand with no run yet."""
        return self.reads.name if self.reads else "none"

    @property
    def stage(self) -> str:
        """The stage's name; the name of the params by hand."""
        return self.folder.name

    def save(self, name: str, value: Any) -> Path:
        """Write a frame as Parquet, anything else as JSON, under ``name``; the file appears whole or not at all."""
        if hasattr(value, "to_parquet"):
            with self.writing(f"{name}.parquet") as path:
                value.to_parquet(path, index=False)
            return self.folder / f"{name}.parquet"
        text = json.dumps(value, indent=2, default=_plain, allow_nan=False)
        with self.writing(f"{name}.json") as path:
            path.write_text(text + "\n", encoding="utf-8")
        return self.folder / f"{name}.json"

    @contextmanager
    def writing(self, filename: str) -> Iterator[Path]:
        """Yield a path to write a file or a folder at; it takes the name ``filename`` when the block ends well."""
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / f".{filename}.{os.getpid()}.partial"
        try:
            yield beside
            final = self.folder / filename
            if final.is_dir():
                shutil.rmtree(final)
            os.replace(beside, final)
        finally:
            if beside.is_dir():
                shutil.rmtree(beside)
            else:
                beside.unlink(missing_ok=True)

    def load(self, name: str) -> Any:
        """Return the frame or the result that a stage saved under ``name``; raises ArtifactError if there is none."""
        path = self.path(name)
        if path.suffix == ".parquet":
            return self._read_frame(path)
        return json.loads(path.read_text(encoding="utf-8"))

    def scan(self, name: str) -> "Stored":
        """Return the frame ``name`` as it lies on disk, to be read in chunks; raises ArtifactError if there is none."""
        from quire.io.frames import Stored

        return Stored(self.path(name))

    def _read_frame(self, path: Path) -> "pd.DataFrame":
        """Return the frame; of one that is too large for memory, a sample, the same one every time."""
        from quire.io.frames import Stored

        return Stored(path).sample(self.settings.config.memory_rows, self.settings.schema.key)

    def load_each(self, name: str) -> dict[str, Any]:
        """Return what each part of a fan-out saved under ``name``, by the part's stage name, sorted."""
        return {
            stage: self._read_frame(path) if path.suffix == ".parquet" else json.loads(path.read_text("utf-8"))
            for stage, path in self.path_each(name).items()
        }

    def path_each(self, name: str) -> dict[str, Path]:
        """Return where each part of a fan-out saved ``name``, by the part's stage name, sorted."""
        return {path.parent.name: path for path in sorted(self._candidates(name))}

    def path(self, name: str) -> Path:
        """Return where the artifact ``name`` (with its suffix, for other files) is; raises ArtifactError if nowhere."""
        found = self._candidates(name)
        if len(found) > 1:
            places = ", ".join(sorted(path.parent.name for path in found))
            raise ArtifactError(f"Run {self.run_id} holds {name!r} more than once: {places}. Use load_each({name!r}).")
        if found:
            return found[0]
        if self.reads is None:
            raise ArtifactError(
                f"There is no run of {self.settings.name!r} yet, so no {name!r} to read. "
                f"Run `quire run params/{self.settings.name}` first."
            )
        known = sorted(path.stem for path in self.reads.glob("artifacts/*/*") if not path.name.startswith((".", "_")))
        raise ArtifactError(
            f"Run {self.run_id} holds no artifact {name!r}; it holds: {', '.join(known) or 'none'}.{near(name, known)}"
        )

    def has(self, name: str) -> bool:
        """Whether a stage of the run saved ``name``."""
        return bool(self._candidates(name))

    def _candidates(self, name: str) -> list[Path]:
        if self.reads is None:
            return []
        self._note(name)
        return next((found for run in self._runs() if (found := _saved(run, name))), [])

    def _runs(self) -> Iterator[Path]:
        """Yield the run's folder; by hand also those of older runs, for what the latest workflow does not make."""
        if self.reads is not None:
            yield self.reads
        if self.by_hand:
            yield from finished(self.settings.outputs, self.settings.name)

    def _note(self, name: str) -> None:
        """Write down that this stage depends on ``name``, whether it is there or not."""
        if not self.by_hand:
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
        with self.writing(SIGNALS) as beside:
            beside.write_text(json.dumps([*signals, {"name": name, "reason": reason}], indent=2), encoding="utf-8")

    def stop(self, reason: str) -> None:
        """End the notebook here: the run is a success, what needs this stage is skipped, and the reason is shown."""
        with self.writing(STOP) as beside:
            beside.write_text(json.dumps({"reason": reason}), encoding="utf-8")
        raise Stopped(reason)

    def __str__(self) -> str:
        """Say which run this is; by hand, what is read and that nothing shared is touched."""
        root = self.settings.root
        if not self.by_hand:
            return f"Run {self.run_id} of {self.settings.name}, stage {self.stage}."
        return (
            f"By hand: reads run {self.run_id} of {self.settings.name}, "
            f"writes to {os.path.relpath(self.folder, root)}/. "
            "No alias moves, and nothing is written to the database or alerted."
        )

    def _repr_html_(self) -> str:
        return f"<p>{self}</p>"


def open(settings: Settings, run_dir: str = "", as_of: str = "") -> Run:
    """Return the run that a notebook is part of.

    run_dir: the folder for this stage's artifacts, relative to the project or absolute; empty by hand.
    as_of: the logical time of the run, ISO 8601; empty for that of config.yaml, else the end of the source.
    """
    at = as_of or settings.config.as_of
    folder = (settings.root / run_dir) if run_dir else settings.outputs / "scratch" / settings.name
    return Run(
        settings=settings,
        reads=folder.parent.parent if run_dir else latest(settings.outputs, settings.name),
        folder=folder,
        by_hand=not run_dir,
        as_of=moment(at) if at else None,
    )


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
    """Return the folder of the newest run of ``params`` that is finished, preferring one that succeeded, or None."""
    return next(finished(outputs, params), None)


def finished(outputs: Path, params: str) -> Iterator[Path]:
    """Yield the folders of the finished runs of ``params``: whole ones that succeeded, then others, newest first."""
    others: list[Path] = []
    for folder, record in run_folder.records(outputs, params=params):
        if record["status"] == "running" or record["alias"] == "backfill":
            continue
        if record["status"] == "succeeded" and not record["partial"]:
            yield folder
        else:
            others.append(folder)
    yield from others


def read_signals(folder: Path) -> list[dict[str, str]]:
    """Return the signals, each with name and reason, that a stage with its artifacts in ``folder`` gave."""
    path = folder / SIGNALS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def read_stop(folder: Path) -> str:
    """Return the reason why a stage with its artifacts in ``folder`` ended early, or an empty text."""
    path = folder / STOP
    return json.loads(path.read_text(encoding="utf-8"))["reason"] if path.exists() else ""


def _plain(value: Any) -> Any:
    """Return numbers of NumPy, times and dataclasses as JSON has them."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    raise TypeError(f"{type(value).__name__} has no form in JSON; save numbers, texts, lists and dictionaries.")
