"""Papermill's engine on a kernel that is already running: outputs within limits, and how a notebook ended."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty
from typing import Any

from nbclient.exceptions import CellExecutionComplete, CellExecutionError
from nbformat import from_dict
from nbformat.v4 import new_markdown_cell, new_output
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import (
    ERROR_ANCHOR_MSG,
    ERROR_MARKER_TAG,
    ERROR_MESSAGE_TEMPLATE,
    prepare_notebook_metadata,
    remove_error_markers,
)
from papermill.iorw import load_notebook_node, write_ipynb
from papermill.parameterize import parameterize_notebook

from quire.flow.failure import error_message
from quire.flow.notebook import read_notebook
from quire.flow.outputs import MOST_OUTPUTS, RAISES, Budget, StreamText, short_error

ENGINE = "quire"
_LANGUAGE = {"kernel_name": "python3", "language": "python"}

QUIET_S = 15
"""How long nothing may be heard after the kernel's reply until no more outputs are waited for.

A cell that puts out thousands of texts in a second overruns the kernel's queue, which then drops some, the word that
the cell has ended among them. That says nothing about whether the cell did its work, so it is no failure.
"""

OVERRUN = "[The cell put out more than could be heard; some of it is lost.]"

_SHOWN_EVERY_S = 1.0

LEFT = (
    "The cell left the notebook by exit(), quit() or SystemExit{value}, so that the cells after it did not run. To end "
    'a notebook early, use run.stop("why"): what needs the stage is then skipped, and the reason is shown.'
)


class CellProgress:
    """Which code cell is being executed, counted from 1 among code cells."""

    def __init__(self, on_cell: Callable[[int, int], None] | None) -> None:
        """on_cell: called with the cell's number and the count of all."""
        self._on_cell = on_cell
        self.number: int | None = None
        self.source = ""

    def start(self, cells: list[Any], index: int) -> None:
        """Note that the cell at ``index`` starts."""
        if cells[index].cell_type != "code":
            return
        self.number = sum(cell.cell_type == "code" for cell in cells[: index + 1])
        self.source = cells[index].source
        if self._on_cell:
            self._on_cell(self.number, sum(cell.cell_type == "code" for cell in cells))


def execute(
    notebook: Path,
    output: Path,
    parameters: dict[str, Any],
    *,
    is_stop: Callable[[PapermillExecutionError], bool],
    **engine_options: Any,
) -> None:
    """Do what ``papermill.execute_notebook`` does, but for how it judges the end.

    Papermill fails a cell whose tag allows it to, and takes SystemExit for success. Raises PapermillExecutionError for
    the cell that failed, with papermill's marks in the notebook unless ``is_stop`` says that it is no failure.
    """
    papermill_engines.register(ENGINE, Engine)
    content = load_notebook_node(from_dict(read_notebook(notebook)))
    if parameters:
        content = parameterize_notebook(content, parameters, engine_name=ENGINE, **_LANGUAGE)
    content = remove_error_markers(prepare_notebook_metadata(content, str(notebook), str(output)))
    content = papermill_engines.execute_notebook_with_engine(
        ENGINE,
        content,
        kernel_name="python3",
        output_path=str(output),
        progress_bar=False,
        **engine_options,
    )
    error = _error_of(content)
    if error is not None:
        if is_stop(error):
            _show_stop(content.cells[error.cell_index], error)
        else:
            _mark(content, error)
    write_ipynb(content, str(output))
    if error is not None:
        raise error


def _error_of(content: Any) -> PapermillExecutionError | None:
    """Return the error of the cell that ended the notebook, or None; its message is never empty."""
    for index, cell in enumerate(content.cells):
        if cell.metadata.get("papermill", {}).get("exception") is not True:
            continue
        error: Mapping[str, Any] = next(
            (output for output in reversed(cell.outputs) if output.output_type == "error"), {}
        )
        traceback = error.get("traceback") or []
        return PapermillExecutionError(
            cell_index=index,
            exec_count=cell.execution_count,
            source=cell.source,
            ename=error.get("ename") or "CellExecutionError",
            evalue=error_message(error.get("evalue") or "", _stderr(cell), traceback),
            traceback=traceback,
        )
    return None


def _stderr(cell: Any) -> str:
    streams = [output for output in cell.outputs if output.output_type == "stream"]
    return "".join(stream.text for stream in streams if stream.name == "stderr")


def _mark(content: Any, error: PapermillExecutionError) -> None:
    """Put papermill's marks into a notebook: on top which cell failed, and before that cell a place to jump to."""
    tags = {"tags": [ERROR_MARKER_TAG]}
    content.cells.insert(error.cell_index, new_markdown_cell(ERROR_ANCHOR_MSG, metadata=tags))
    content.cells.insert(0, new_markdown_cell(ERROR_MESSAGE_TEMPLATE % error.exec_count, metadata=tags))


def _show_stop(cell: Any, error: PapermillExecutionError) -> None:
    """Show why the notebook ended early on purpose, instead of a traceback."""
    text = new_output("stream", name="stdout", text=f"{error.ename}: {error.evalue}\n")
    cell.outputs = [text if output.output_type == "error" else output for output in cell.outputs]


class NotebookClient(PapermillNotebookClient):
    """Papermill's client, which keeps outputs within limits and fails a cell that leaves the notebook."""

    def __init__(self, nb_man: Any, **options: Any) -> None:
        """nb_man: papermill's NotebookExecutionManager."""
        super().__init__(
            nb_man,
            raise_on_iopub_timeout=False,
            iopub_timeout=sys.maxsize,  # as long as outputs come; see `_async_poll_output_msg`
            on_cell_executed=self._refuse_exit,
            on_cell_error=self._show_error,
            **options,
        )
        self._budget = Budget()
        self._streams: dict[int, tuple[Any, StreamText]] = {}
        self._shown_at = 0.0
        self._left_out = 0

    def execute(self) -> Any:
        """Execute the cells up to the first that fails; a kernel that has been left is asked for nothing more."""
        self.reset_execution_trackers()
        self.papermill_execute_cells()
        if not self.nb.metadata.papermill.get("exception"):
            reply = self.wait_for_reply(self.kc.kernel_info())
            self.nb.metadata["language_info"] = reply["content"]["language_info"]
        self.set_widgets_metadata()
        return self.nb

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        """Take in outputs until the kernel says that the cell has ended, or after its reply nothing comes any more.

        In place of nbclient's own, which waits for ever, and whose caller gives up while outputs still come.
        """
        heard_at = time.monotonic()
        while True:
            try:
                msg = await self.kc.iopub_channel.get_msg(timeout=1)
            except Empty:
                has_reply = "shell.execute_reply" in cell["metadata"].get("execution", {})
                if has_reply and time.monotonic() - heard_at > QUIET_S:
                    cell.outputs.append(new_output("display_data", {"text/plain": OVERRUN}))
                    return
                continue
            heard_at = time.monotonic()
            if msg["parent_header"].get("msg_id") == parent_msg_id:
                try:
                    self.process_message(msg, cell, cell_index)
                except CellExecutionComplete:
                    return

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """Take in what the kernel puts out."""
        kind = msg["msg_type"]
        if kind in ("display_data", "execute_result", "update_display_data"):
            msg["content"] = self._budget.fit(msg["content"], is_update=kind == "update_display_data")
        elif kind == "error":
            msg["content"] = short_error(msg["content"])
        elif kind == "clear_output" and not msg["content"].get("wait"):
            self._streams.clear()
        return super().process_message(msg, cell, cell_index)

    def output(self, outs: list[Any], msg: Any, display_id: str | None, cell_index: int) -> Any:
        """Append an output to those of its cell, text to that of the same stream before it."""
        is_redirected = self.output_hook_stack[msg["parent_header"].get("msg_id")]  # into a widget
        if self.clear_before_next_output:
            self._streams.clear()
        elif msg["msg_type"] == "stream" and not is_redirected and self._extend(outs, **msg["content"]):
            return None
        elif len(outs) >= MOST_OUTPUTS and msg["msg_type"] != "error":
            self._left_out += 1
            return None
        out = super().output(outs, msg, display_id, cell_index)
        if out is not None and out.output_type == "stream":
            self._streams[id(out)] = (out, StreamText(out.text))
        return out

    def _extend(self, outs: list[Any], name: str, text: str) -> bool:
        """Append a text to the output before it if that is of the same stream, and say whether it is."""
        candidates = outs if len(outs) >= MOST_OUTPUTS else outs[-1:]
        same = next((out for out in reversed(candidates) if out.get("name") == name and id(out) in self._streams), None)
        if same is None:
            return False
        self._streams[id(same)][1].add(text)
        if time.monotonic() - self._shown_at > _SHOWN_EVERY_S:
            self._show_streams()
        return True

    def _show_streams(self) -> None:
        """Put the texts of the streams into the cell's outputs: to join them at every piece would take its square."""
        for out, text in self._streams.values():
            out["text"] = text.text()
        self._shown_at = time.monotonic()

    def finish_cell(self, cell: Any) -> None:
        """Show all that is kept of the cell's outputs; to be called when it has ended, however it did."""
        self._show_streams()
        self._streams.clear()
        if self._left_out:
            text = f"[{self._left_out:,} more outputs are left out here.]"
            cell.outputs.append(new_output("display_data", {"text/plain": text}))
        self._left_out = 0

    def _show_error(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        """Give a failed cell an error output if the kernel showed the error only as text, as for an unknown magic."""
        if RAISES in cell.metadata.get("tags", []) or any(out.output_type == "error" for out in cell.outputs):
            return
        self._show_streams()
        error = short_error(execute_reply["content"])
        message = error_message(error["evalue"], _stderr(cell), error["traceback"])
        cell.outputs.append(_error_output(error.get("ename") or "CellExecutionError", message, error["traceback"]))

    def _refuse_exit(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        """Fail a cell that ended the notebook by another way than `run.stop`: what comes of it would be an accident."""
        content = execute_reply["content"]
        by_exit = any(payload.get("source") == "ask_exit" for payload in content.get("payload") or [])
        by_raise = content["status"] == "error" and content.get("ename") == "SystemExit"
        if not by_exit and not (by_raise and RAISES not in cell.metadata.get("tags", [])):
            return
        value = str(content.get("evalue") or "") if by_raise else ""
        message = LEFT.format(value=f" ({value})" if value else "")
        cell.outputs = [output for output in cell.outputs if output.output_type != "error"]
        cell.outputs.append(_error_output("SystemExit", message, [f"SystemExit: {message}"]))
        raise CellExecutionError(message, "SystemExit", message)


def _error_output(name: str, message: str, traceback: list[str]) -> Any:
    return new_output("error", ename=name, evalue=message, traceback=traceback)


class Engine(NBClientEngine):
    """Papermill's engine on a kernel that is already running."""

    @classmethod
    def execute_managed_notebook(  # noqa: D102
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        manager: Any,
        client: Any,
        progress: CellProgress,
        execution_timeout: float | None = None,
        **_: Any,
    ) -> Any:
        executor = NotebookClient(nb_man, km=manager, kernel_name=kernel_name, timeout=execution_timeout)
        start, complete = nb_man.cell_start, nb_man.cell_complete

        def cell_start(cell: Any, cell_index: int, **more: Any) -> None:
            progress.start(nb_man.nb.cells, cell_index)
            start(cell, cell_index, **more)

        def cell_complete(cell: Any, cell_index: int, **more: Any) -> None:
            executor.finish_cell(cell)
            complete(cell, cell_index=cell_index, **more)

        nb_man.cell_start, nb_man.cell_complete = cell_start, cell_complete
        executor.kc = client
        return executor.execute()
