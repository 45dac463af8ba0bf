"""Reports: each executed notebook as a page without code, and the run's index. They open offline, from anywhere."""

import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from quire.flow.context import Context
from quire.flow.failure import shorten
from quire.flow.graph import Task
from quire.flow.graph_svg import draw
from quire.flow.history import previous
from quire.flow.imports import skip_iri_grammar
from quire.flow.outputs import RAISES, remark, size_of
from quire.flow.record import write_whole
from quire.io.run_folder import data_as_of, read_answers, read_json
from quire.page.numbers import shortened
from quire.page.rendering import moment

NO_CELL = ("parameters", "injected-parameters", "setup", "load", "save", "papermill-error-cell-tag")
"""Cells with these tags are not in the report."""

NO_INPUT = ("work", "result", "chart", "check")
"""Of cells with these tags the report has only the outputs."""


TEXT_LIMIT = 20_000
"""Characters of a stream, a plain text or a part of a traceback in a report; the executed notebook has more."""

RICH_LIMIT = 10_000_000
"""Characters of charts, tables and the like in a report, all together."""


def body_of(notebook: Path, *, memory: Path | None = None, root: Path | None = None) -> str:
    """Return an executed notebook as HTML without a page around it; code is shown only of cells that failed.

    memory: a folder to keep nbconvert's compiled templates in, which take longer to compile than to fill. root: the
    project's folder, of which tracebacks then say nothing.
    """
    skip_iri_grammar()
    import nbformat

    return _body(nbformat.read(notebook, as_version=4), memory, root)


def _body(content: Any, memory: Path | None, root: Path | None = None) -> str:
    from jinja2 import FileSystemBytecodeCache
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import TagRemovePreprocessor

    for cell in content.cells:
        if _has_error(cell) and RAISES not in cell.metadata.get("tags", []):
            cell.metadata["tags"] = ["failed"]
    _cut_outputs(content.cells, root)
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    if memory:
        memory.mkdir(parents=True, exist_ok=True)
        exporter.environment.bytecode_cache = FileSystemBytecodeCache(str(memory))
    exporter.register_preprocessor(
        TagRemovePreprocessor(remove_cell_tags=set(NO_CELL), remove_input_tags=set(NO_INPUT)), enabled=True
    )
    body, _ = exporter.from_notebook_node(content)
    return body


def _cut_outputs(cells: list[Any], root: Path | None) -> None:
    """Cut what no page can show: texts to `TEXT_LIMIT`, all else to `RICH_LIMIT` of the report together."""
    room = RICH_LIMIT
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        if output.output_type == "stream":
            output.text = _cut(output.text)
        elif output.output_type == "error":
            frames = [_without_machine(line, root) for line in shorten(output.traceback)]
            output.traceback = [*frames, _message(output)]
        else:
            if "text/plain" in output.data:
                output.data["text/plain"] = _cut(output.data["text/plain"])
            size = size_of(output.data)
            if size > room:
                output.data = type(output)({"text/plain": remark(size, "; the executed notebook has it")})
                continue
            room -= size


def _message(error: Any) -> str:
    return _cut(f"{error.ename}: {error.evalue}" if error.evalue else error.ename)


def _without_machine(line: str, root: Path | None) -> str:
    """Return a line of a traceback without the folders of this machine: pages are sent around."""
    replacements = {str(root): "", sys.prefix: "", sys.base_prefix: "", str(Path.home()): "~/"}
    for folder, replacement in replacements.items():
        line = line.replace(f"{folder}/", replacement)
    return line


def _cut(text: str) -> str:
    return shortened(text, TEXT_LIMIT)


@cache
def warm_up(outputs: Path) -> None:
    """Make a first page, which nobody sees, in a thread: it takes half a second, in which the first kernel starts."""
    threading.Thread(target=_make_first_page, args=(outputs,), name="first-page", daemon=True).start()


def _make_first_page(outputs: Path) -> None:
    with suppress(Exception):  # a real page will fail likewise, and be told of
        skip_iri_grammar()
        from nbformat import v4

        from quire import page

        cell_outputs = [v4.new_output("stream", text="x"), v4.new_output("display_data", {"text/html": "<p>x</p>"})]
        cells = [v4.new_markdown_cell("# x"), v4.new_code_cell(outputs=cell_outputs)]
        page.report(_body(v4.new_notebook(cells=cells), _memory(outputs)), provenance={})


def write_report(context: Context, task: Task) -> None:
    """Write ``reports/<task>.html`` from the executed notebook, and note it in run.json."""
    from quire import page

    stage = context.record.stages[task.name]
    body = body_of(
        context.folder / stage["notebook"], memory=_memory(context.settings.outputs), root=context.settings.root
    )
    html = page.report(body, provenance=_provenance(context, task))
    path = f"reports/{task.name}.html"
    write_whole(context.folder / path, html)
    context.record.update_stage(task.name, report=path)


def _memory(outputs: Path) -> Path:
    return outputs / "cache" / "templates"


def write_index(context: Context) -> Path:
    """Write the run's ``index.html`` and return where."""
    from quire import page

    before = previous(context.settings.outputs, context.record.content)
    html = page.run_index(
        context.record.content,
        answers=read_answers(context.folder),
        charts=_charts(context.folder),
        graph=draw(context.graph),
        title=context.settings.config.title,
        as_of=data_as_of(context.folder, context.record.content),
        last={"run_id": before.name, "answers": read_answers(before)} if before else None,
    )
    write_whole(context.folder / "index.html", html)
    return context.folder / "index.html"


def _charts(folder: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text("utf-8") for path in sorted(folder.glob("artifacts/*/_chart.svg"))}


def _provenance(context: Context, task: Task) -> dict[str, str]:
    record = context.record.content
    as_of = data_as_of(context.folder, record)
    fields: Mapping[str, str] = {
        "Run": context.run_id,
        "Stage": task.name,
        "Use case": f"params/{context.settings.name}",
        "Workflow": record["workflow"],
        "As of": moment(as_of) if as_of else "",
        "RunPage": _snapshot(context.folder),
        "Commit": record["commit"][:12] + ("-dirty" if record["commit"].endswith("-dirty") else ""),
        "Executed": context.record.stages[task.name].get("started_at", "")[:19].replace("T", " ") + " UTC",
    }
    return {label: value for label, value in fields.items() if value}


def _snapshot(folder: Path) -> str:
    """Return the start of the fingerprint that a stage's manifest names, or an empty text."""
    for path in folder.glob("artifacts/*/manifest.json"):
        manifest = read_json(path)
        if isinstance(manifest, dict) and manifest.get("fingerprint"):
            return str(manifest["fingerprint"])[:12]
    return ""


def _has_error(cell: Any) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", []))
