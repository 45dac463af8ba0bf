"""What is refused before the first kernel starts: files that are named and not there, or only there by hand."""

import os
from collections.abc import Iterable
from pathlib import Path

from quire.errors import ConfigError, near
from quire.flow.clone import Clone
from quire.flow.graph import Graph, Task
from quire.flow.source_facts import SourceFacts


def refuse_missing_files(graph: Graph, clone: Clone) -> None:
    """Raise ConfigError if a name in a stage's `files` stands for no file."""
    for task in {task.stage: task for task in graph.values()}.values():
        for pattern in task.options.files:
            if not clone.matching(pattern):
                folder = (clone.root / pattern).parent
                names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
                raise ConfigError(
                    f"workflow.yaml: stage {task.stage}, files: {pattern!r} stands for no file in {clone.root}. "
                    f"Write a path or glob relative to the project, or leave it out.{near(Path(pattern).name, names)}"
                )


def refuse_paths_beside(task: Task, code: Iterable[SourceFacts], clone: Clone) -> None:
    """Raise ConfigError if the code of a task opens a file that is found beside the notebook, but not in a run.

    JupyterLab works in the notebook's folder, a run in the project's.
    """
    folder = task.notebook.parent
    if any("chdir" in facts.attributes for facts in code):
        return
    texts = dict.fromkeys(text for facts in code for text in facts.opened if not os.path.isabs(text))
    for text in texts:
        is_path = os.path.isfile(folder / text) or ("/" in text and os.path.isdir(folder / text))
        if is_path and not _is_same(folder / text, clone.root / text):
            better = Path(os.path.relpath(folder / text, clone.root)).as_posix()
            raise ConfigError(
                f"{task.notebook}: {text!r} lies beside the notebook, where JupyterLab works; a run works in "
                f"{clone.root}, where it is not that file. Write settings.root / {better!r}: that is right in both."
            )


def _is_same(path: Path, other: Path) -> bool:
    return os.path.exists(other) and os.path.samefile(path, other)
