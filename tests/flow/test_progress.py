import io
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from quire.flow import progress
from quire.flow.progress import View, as_line

START = {"event": "run_started", "run_id": "r", "stages": ["a", "b"], "expected_s": {"a": 12.0}}
END = {"event": "stage_ended", "stage": "a", "status": "failed", "seconds": 3.2, "why": "n = 1 -> 2"}


def test_off_a_terminal_there_is_a_line_for_what_matters():
    assert as_line(START) == "run r: a, b"
    assert as_line({"event": "cell", "stage": "a", "cell": 1, "of": 3}) == ""
    assert as_line(END) == "a            FAILED         3.2 s"
    assert as_line({**END, "status": "reused"}).endswith("n = 1 -> 2")
    retried = {"event": "stage_retried", "stage": "a", "attempt": 1, "message": "no answer"}
    assert "attempt 1 failed, tries again: no answer" in as_line(retried)


def test_the_view_shows_cells_elapsed_and_expected_time():
    now = [0.0]
    view = View(lambda: now[0])
    view.hear(START)
    assert view.rows()[0] == ("a", "waiting", "about 12 s", "")
    view.hear({"event": "stage_started", "stage": "a", "why": "first"})
    view.hear({"event": "cell", "stage": "a", "cell": 2, "of": 5})
    now[0] = 4.0
    assert view.rows()[0] == ("a", "running", "4 of about 12 s", "cell 2 of 5")
    view.hear(END)
    assert view.rows()[0] == ("a", "failed", "3.2 s", "n = 1 -> 2")


def test_json_has_every_event_and_quiet_has_none(capsys):
    for options, lines in (({"as_json": True}, [START]), ({"quiet": True}, [])):
        with progress.listener(**options) as listen:
            listen(START)
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == lines


def test_on_a_terminal_the_view_is_live(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress.listener() as listen:
        listen(START)
        listen(END)
        listen({"event": "run_ended", "status": "failed", "seconds": 3.3, "index": "i.html"})
        shown = __import__("sys").stderr
    assert "FAILED" in shown.getvalue()
    assert "failed in 3.3 s" in shown.getvalue()


def test_the_findings_say_what_each_stage_found_and_where_to_read_on(tmp_path, monkeypatch, capsys):
    (tmp_path / "artifacts" / "train").mkdir(parents=True)
    answer = {"status": "warn", "headline": "The model is only as good as last week.", "facts": [], "metrics": {}}
    (tmp_path / "artifacts" / "train" / "_answer.json").write_text(json.dumps(answer), "utf-8")
    (tmp_path / "index.html").write_text("", "utf-8")
    monkeypatch.chdir(tmp_path)
    record = {"stages": {"ingest": {}, "train": {}}, "params": "shop", "status": "succeeded"}
    progress.print_findings(tmp_path, record)
    printed = capsys.readouterr().err
    assert "! train      The model is only as good as last week." in printed
    assert "report     index.html" in printed
    assert "quire dashboard params/shop" in printed
    assert "ingest" not in printed

    progress.print_findings(tmp_path, record | {"status": "failed"})
    assert "dashboard" not in capsys.readouterr().err


class Slow(io.StringIO):
    """A stream at which other threads get their turn with every write."""

    def write(self, text):
        time.sleep(0.0001)
        return super().write(text)


def test_lines_of_json_are_whole_where_several_threads_print(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Slow())
    with progress.listener(as_json=True) as listen, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: listen({"event": "cell", "cell": n}), range(50)))
    told = [json.loads(line) for line in sys.stdout.getvalue().splitlines()]
    assert sorted(event["cell"] for event in told) == list(range(50))
