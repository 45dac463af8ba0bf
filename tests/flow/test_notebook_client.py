"""How a notebook ends, and what is kept of what its cells put out."""

import json
import re
import sys

import nbformat
import pytest

from quire.flow.failure import MESSAGE_LIMIT, KernelDied
from quire.flow.kernels import Kernel
from quire.flow.outputs import STREAM_LIMIT

AFTER = "run.save('after_' + run.stage, {'a': 1})"
OWN_STOPPED = "class Stopped(Exception):\n    pass\nraise Stopped('the machine stopped')"
STOPPED_AND_HIDDEN = f"try:\n    run.stop('no data')\nexcept Exception:\n    pass\n{OWN_STOPPED}"

EXITS = {
    "exit_zero": ("import sys\nsys.exit(0)", AFTER),
    "exit_none": ("import sys\nsys.exit()", AFTER),
    "exit_one": ("import sys\nsys.exit(1)", AFTER),
    "exit_text": ("import sys\nsys.exit('enough')", AFTER),
    "raised": ("raise SystemExit", AFTER),
    "raised_in_function": ("def leave():\n    raise SystemExit(0)\nleave()", AFTER),
    "exit_function": ("exit()", "print('after')", AFTER),
    "quit_function": ("quit()", AFTER),
    "exit_autocall": ("exit", AFTER),
    "exit_last_but_one": (AFTER, "exit()", "done = 1"),
    "exit_last": (AFTER, "exit()"),
    "exit_zero_last": (AFTER, "import sys\nsys.exit(0)"),
}
DEATHS = {
    "os_exit": ("import os\nos._exit(0)", AFTER),
    "os_exit_last": (AFTER, "import os\nos._exit(3)"),
}
STOPS = {"own_stopped": (OWN_STOPPED, AFTER), "stopped_and_hidden": (STOPPED_AND_HIDDEN, AFTER)}
SILENT = {
    "unknown_magic": ("%%sql\nselect 1", "Cell magic `%%sql` not found"),
    "unknown_line_magic": ("%nosuchmagic 1", "%nosuchmagic"),
    "wrong_option": ("%timeit -q_ pass", "option"),
    "bare_assert": ("value = 1\nassert value == 2", "assert value == 2"),
    "bare_raise": ("raise ValueError", "raise ValueError"),
    "said_before": ("import sys\nprint('the disk is broken', file=sys.stderr)\nraise OSError", "the disk is broken"),
    "shell": ("%%bash\nfalse", "false"),
}
LONG = {
    "long_message": "raise ValueError('m' * 5_000_000)",
    "many_lines": "raise ValueError('line\\n' * 1_000_000)",
    "long_source": f"text = '{'x' * 300_000}'\nraise ValueError(text)",
    "long_note": "error = ValueError('short')\nerror.add_note('n' * 5_000_000)\nraise error",
    "long_cause": "try:\n    {}['k' * 3_000_000]\nexcept KeyError as error:\n    raise ValueError('x') from error",
}
PUTS_OUT = {
    "flushed": "import sys\nfor i in range(20_000):\n    print(f'\\rprogress {i}', end='')\n    sys.stdout.flush()",
    "flushed_lines": "import sys\nfor i in range(20_000):\n    print('line', i)\n    sys.stdout.flush()",
    "alternating": "import sys\nfor i in range(3_000):\n    print(i, file=(sys.stdout, sys.stderr)[i % 2], flush=True)",
    "text": "print('start')\nfor i in range(60):\n    print('y' * 100_000)\nprint('end')",
    "html": "from IPython.display import HTML, display\nfor i in range(12):\n    display(HTML('z' * 500_000))",
    "displays": "from IPython.display import display\nfor i in range(5_000):\n    display(i)",
    "cleared": "from IPython.display import clear_output\nfor i in range(99):\n    clear_output(1)\n    print('at', i)",
}
ALLOWED = {
    "allowed": (("raises-exception", "1/0"), AFTER),
    "allowed_twice": (("raises-exception", "1/0"), ("raises-exception", "[][1]"), AFTER),
    "allowed_last": (AFTER, ("raises-exception", "1/0")),
    "allowed_exit": (("raises-exception", "import sys\nsys.exit(0)"), AFTER),
    "allowed_magic": (("raises-exception", "%%sql\nselect 1"), AFTER),
}


@pytest.fixture(scope="module")
def ended(shared_project):
    """One run of many notebooks, none of which needs another."""
    single = {**{name: (cell,) for name, (cell, _) in SILENT.items()}, **{name: (cell,) for name, cell in LONG.items()}}
    chatty = {name: (cell, AFTER) for name, cell in PUTS_OUT.items()}
    for name, cells in {**EXITS, **DEATHS, **STOPS, **ALLOWED, **single, **chatty}.items():
        shared_project.stage(name, *cells)
    shared_project.stage("stopped_long", "run.stop('r' * 300_000)", AFTER)
    shared_project.stage("stopped_lines", "run.stop('no new rows\\nsince May')", AFTER)
    shared_project.stage("stopped", "run.stop('no new rows')", AFTER).stage(
        "fails_after", ("raises-exception", "1/0"), "2/0"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quire.flow.outputs.RICH_LIMIT", 5_250_000)
        patch.setattr("quire.flow.report.RICH_LIMIT", 2_000_000)
        return shared_project.run()


def error_of(ended, name):
    assert ended.record["stages"][name]["status"] == "failed"
    return ended.record["stages"][name]["error"]


def notebook_of(ended, name):
    return nbformat.read(ended.folder / "notebooks" / f"{name}.ipynb", as_version=4)


def has_saved(ended, name):
    return (ended.folder / "artifacts" / name / f"after_{name}.json").exists()


@pytest.mark.parametrize("name", EXITS)
def test_leaving_the_notebook_fails_and_says_what_to_use(ended, name):
    error = error_of(ended, name)
    assert error["kind"] == "SystemExit"
    assert "run.stop(" in error["message"]
    assert error["source"] == next(cell for cell in EXITS[name] if "xit" in cell or "quit" in cell)


@pytest.mark.parametrize("name", DEATHS)
def test_a_process_that_ends_itself_fails_and_says_what_to_use(ended, name):
    error = error_of(ended, name)
    assert error["kind"] == "KernelDied"
    assert "run.stop(" in error["message"]
    assert "os._exit" in error["source"]


@pytest.mark.parametrize("name", STOPS)
def test_another_exception_called_stopped_is_a_failure(ended, name):
    error = error_of(ended, name)
    assert (error["kind"], error["message"]) == ("Stopped", "the machine stopped")
    assert not has_saved(ended, name)


def test_run_stop_is_a_success_that_shows_its_reason(ended):
    stage = ended.record["stages"]["stopped"]
    assert (stage["status"], stage["stopped"]) == ("succeeded", "no new rows")
    assert not has_saved(ended, "stopped")
    assert "Stopped: no new rows" in (ended.folder / "reports" / "stopped.html").read_text()


@pytest.mark.parametrize(("name", "start"), [("stopped_long", "rrr"), ("stopped_lines", "no new rows\nsince May")])
def test_a_reason_may_be_long_and_have_lines(ended, name, start):
    stage = ended.record["stages"][name]
    assert stage["status"] == "succeeded"
    assert stage["stopped"].startswith(start)
    assert len(stage["stopped"]) < MESSAGE_LIMIT + 100


@pytest.mark.parametrize("name", SILENT)
def test_a_message_is_never_empty(ended, name):
    message = error_of(ended, name)["message"]
    assert SILENT[name][1] in message
    assert message in next(text for text in ended.failures if text.startswith(f"Stage {name} "))


@pytest.mark.parametrize("name", LONG)
def test_long_texts_of_errors_are_cut_everywhere(ended, name):
    error = error_of(ended, name)
    assert len(error["message"]) < MESSAGE_LIMIT + 100
    assert len(json.dumps(error)) < 5 * MESSAGE_LIMIT
    assert len(next(text for text in ended.failures if text.startswith(f"Stage {name} "))) < 5 * MESSAGE_LIMIT
    for path in (f"notebooks/{name}.ipynb", f"reports/{name}.html"):
        assert (ended.folder / path).stat().st_size < 1_000_000, path


def test_record_and_index_stay_small(ended):
    for name in ("run.json", "index.html"):
        assert (ended.folder / name).stat().st_size < 1_000_000


@pytest.mark.parametrize("name", PUTS_OUT)
def test_many_and_large_outputs_are_kept_within_limits(ended, name):
    assert ended.record["stages"][name]["status"] == "succeeded", ended.record["stages"][name].get("error")
    assert (ended.folder / "notebooks" / f"{name}.ipynb").stat().st_size < 5_500_000
    assert (ended.folder / "reports" / f"{name}.html").stat().st_size < 3_000_000


def test_of_a_long_text_start_and_end_are_kept_with_a_remark(ended):
    (output,) = notebook_of(ended, "text").cells[-2].outputs
    assert output.text.startswith("start\n")
    assert output.text.endswith("end\n")
    assert "characters left out" in output.text
    assert len(output.text) < STREAM_LIMIT + 100
    assert "characters left out" in (ended.folder / "reports" / "text.html").read_text()


def test_of_a_line_that_is_written_over_the_last_text_is_kept(ended):
    output = notebook_of(ended, "flushed").cells[-2].outputs[0]
    assert output.text.startswith("progress ")
    assert len(output.text) == len("progress 19999")
    (output,) = notebook_of(ended, "cleared").cells[-2].outputs
    assert output.text == "at 98\n"


def test_a_cell_whose_end_is_not_heard_is_no_failure(project, monkeypatch):
    from quire.flow import notebook_client

    monkeypatch.setattr(notebook_client, "QUIET_S", 1)
    project.stage("a", "get_ipython().kernel.iopub_thread.send_multipart = lambda *parts, **options: None")
    result = project.run()
    assert project.statuses(result) == {"a": "succeeded"}
    assert notebook_client.OVERRUN in (result.folder / "notebooks" / "a.ipynb").read_text()


def test_a_cell_with_a_limit_of_its_own_that_only_talks_is_not_timed_out(project):
    project.stage("a", "for i in range(2_000):\n    print(i, flush=True)", cell_timeout_s=60)
    assert project.run().exit_code == 0


def test_what_is_left_out_of_displays_is_said(ended):
    last = notebook_of(ended, "displays").cells[-2].outputs[-1].data["text/plain"]
    assert re.fullmatch(r"\[\d,\d{3} more outputs are left out here.\]", last)
    texts = [output.data.get("text/plain", "") for output in notebook_of(ended, "html").cells[-2].outputs]
    assert sum("An output of 0.5 MB is left out" in text for text in texts) == 2


@pytest.mark.parametrize("name", ALLOWED)
def test_a_cell_that_may_raise_does_not_end_the_notebook(ended, name):
    assert ended.record["stages"][name]["status"] == "succeeded", ended.record["stages"][name].get("error")
    assert has_saved(ended, name)


def test_after_a_cell_that_may_raise_another_is_named_that_may_not(ended):
    error = error_of(ended, "fails_after")
    assert error["source"] == "2/0"
    assert "ZeroDivisionError" in (ended.folder / "reports" / "fails_after.html").read_text()


@pytest.mark.parametrize("program", ["nowhere/python", "with space"])
def test_a_kernel_that_does_not_start_names_the_command_that_was_tried(tmp_path, monkeypatch, program):
    (tmp_path / "with space").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "with space").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / program))
    kernel = Kernel(tmp_path, {})
    with pytest.raises(KernelDied) as raised:
        kernel.start()
    kernel.close()
    assert program in str(raised.value)
    assert "ipykernel_launcher" in str(raised.value)
