import json
import os
import re

import pytest

from quire.errors import Busy, ConfigError
from quire.flow.lock import only_run

SAVE_ONE = ("save", 'run.save("one", {"n": n})')


@pytest.fixture(scope="module")
def chain(shared_project):
    """a -> (b, c) -> d, which ran once; c saves what d does not read."""
    project = shared_project
    project.stage("a", SAVE_ONE, parameters="n = 1")
    project.stage("b", 'n = run.load("one")["n"] * 2', ("save", 'run.save("two", {"n": n})'), needs=["a"])
    project.stage("c", ("save", 'run.save("three", {"pid": __import__("os").getpid()})'), needs=["a"])
    project.stage("d", 'run.has("four")', 'run.save("sum", run.load("two")["n"] + 1)', needs=["b", "c"])
    return project, project.run()


def test_stages_hand_on_what_they_saved(chain):
    project, first = chain
    assert first.exit_code == 0
    assert first.record["status"] == "succeeded"
    assert project.artifact(first, "d", "sum") == 3
    assert set(project.statuses(first).values()) == {"succeeded"}


def test_every_stage_has_an_executed_notebook_that_papermill_wrote(chain):
    _, first = chain
    for name, stage in first.record["stages"].items():
        notebook = json.loads((first.folder / stage["notebook"]).read_text())
        assert notebook["metadata"]["papermill"]["exception"] is None, name
        injected = [c for c in notebook["cells"] if "injected-parameters" in c["metadata"].get("tags", [])]
        assert f"artifacts/{name}" in "".join(injected[0]["source"])


def test_the_record_says_what_ran_with_what_and_why(chain):
    _, first = chain
    record = json.loads((first.folder / "run.json").read_text())
    assert re.fullmatch(r"\d{8}T\d{9}-[0-9a-f]{4}", record["run_id"])
    assert record["parameters"]["a"] == {"n": 1}
    assert record["stages"]["a"]["why"] == "it has not run before"
    artifact = record["stages"]["a"]["artifacts"][0]
    assert artifact["name"] == "one.json"
    assert artifact["bytes"] == (first.folder / "artifacts" / "a" / "one.json").stat().st_size
    assert len(artifact["sha256"]) == 64
    assert record["seconds"] > 0
    assert record["finished_at"] > record["started_at"]


def test_a_run_without_git_takes_its_commit_from_the_image(project, monkeypatch):
    project.stage("a", "run.save('x', 1)")
    monkeypatch.setenv("QUIRE_COMMIT", "0123abc")
    assert project.run().record["commit"] == "0123abc"


def test_a_run_keeps_the_schema_that_it_read(chain):
    project, first = chain
    now = next((project.root / "params").glob("*/schema.yaml"))
    assert (first.folder / "schema.yaml").read_text() == now.read_text()


def test_the_second_run_reuses_everything_and_keeps_whole_copies(chain):
    project, first = chain
    second = project.run()
    assert set(project.statuses(second).values()) == {"reused"}
    assert project.artifact(second, "d", "sum") == 3
    assert second.record["stages"]["d"]["why"] == f"unchanged since run {first.record['run_id']}"
    assert (second.folder / "notebooks" / "d.ipynb").exists()


def test_a_changed_parameter_reruns_what_depends_on_it_and_says_so(chain):
    project, _ = chain
    result = project.run(overrides={"a": {"n": 5}})
    assert project.statuses(result) == {"a": "succeeded", "b": "succeeded", "c": "reused", "d": "succeeded"}
    assert result.record["stages"]["a"]["why"] == "n = 1 -> 5"
    assert result.record["stages"]["b"]["why"] == "artifact one changed"
    assert project.artifact(result, "d", "sum") == 11


def test_a_comment_or_markdown_reruns_nothing_and_code_reruns_the_stage(chain):
    project, _ = chain
    path = project.root / "notebooks" / "b.ipynb"
    before = path.read_text()
    try:
        path.write_text(before.replace("# b", "# Another title").replace("* 2", "* 2  # twice"))
        assert set(project.statuses(project.run()).values()) == {"reused"}
        path.write_text(before.replace("* 2", "* 1 * 2"))
        result = project.run()
        assert project.statuses(result) == {"a": "reused", "b": "succeeded", "c": "reused", "d": "reused"}
        assert result.record["stages"]["b"]["why"] == "the notebook's code changed"
    finally:
        path.write_text(before)


def test_a_reused_stage_shows_text_that_was_edited_since(chain):
    project, first = chain
    path = project.root / "notebooks" / "b.ipynb"
    before = path.read_text()
    try:
        path.write_text(before.replace("# b", "# Said better"))
        result = project.run()
        assert result.record["stages"]["b"]["status"] == "reused"
        assert result.record["stages"]["b"]["why"].endswith(", but for its text")
        assert "Said better" in (result.folder / "reports" / "b.html").read_text()
        executed = json.loads((result.folder / "notebooks" / "b.ipynb").read_text())
        assert any("injected-parameters" in cell["metadata"].get("tags", []) for cell in executed["cells"])
        assert "Said better" not in (first.folder / "reports" / "b.html").read_text()
        again = project.run()
        assert again.record["stages"]["b"]["why"].startswith("unchanged since run")
        assert "text" not in again.record["stages"]["b"]["why"]
        assert "Said better" in (again.folder / "reports" / "b.html").read_text()
    finally:
        path.write_text(before)


def test_code_that_is_cut_into_other_cells_runs_again_so_that_outputs_have_their_places(project):
    project.stage("a", "x = 1\nprint(x)")
    project.run()
    project.notebook("a", "x = 1", ("markdown", "Now it is printed:"), "print(x)")
    result = project.run()
    assert result.record["stages"]["a"]["status"] == "succeeded"
    assert "Now it is printed" in (result.folder / "reports" / "a.html").read_text()
    assert project.run().record["stages"]["a"]["status"] == "reused"


def test_the_schema_and_the_config_count_but_not_alerts_that_nobody_reads(chain):
    project, _ = chain
    path = project.root / "params" / "x" / "config.yaml"
    before = path.read_text()
    try:
        path.write_text(before + "alerts: {cool_down_hours: 2}\ntitle: Another\n")
        assert set(project.statuses(project.run()).values()) == {"reused"}
        path.write_text("source: {kind: demo, seed: 5}\n")
        result = project.run()
        assert result.record["stages"]["b"]["why"] == "config.yaml changed: source"
    finally:
        path.write_text(before)


def test_only_some_stages_and_what_they_need(chain):
    project, _ = chain
    result = project.run(stages=("b",))
    assert list(project.statuses(result)) == ["a", "b"]
    assert result.record["partial"] is True


def test_fresh_runs_all(chain):
    project, _ = chain
    result = project.run(stages=("a",), fresh=True)
    assert project.statuses(result) == {"a": "succeeded"}
    assert result.record["stages"]["a"]["why"] == "--fresh"


def test_an_artifact_that_was_changed_by_hand_is_not_reused(chain):
    project, _ = chain
    result = project.run(stages=("c",))
    path = result.folder / "artifacts" / "c" / "three.json"
    text = path.read_text()
    os.utime(path)  # touched, yet the same
    assert project.statuses(project.run(stages=("c",)))["c"] == "reused"
    for run in (project.outputs / "runs").glob("*"):
        copy = run / "artifacts" / "c" / "three.json"
        if copy.exists():
            copy.write_text(text.replace("pid", "dip"))
    again = project.run(stages=("c",))
    assert project.statuses(again)["c"] == "succeeded"
    assert "is gone" in again.record["stages"]["c"]["why"]


def test_a_mistake_is_found_before_anything_is_written(chain):
    project, _ = chain
    before = sorted((project.outputs / "runs").iterdir())
    with pytest.raises(ConfigError, match=r"a\.m is not a parameter"):
        project.run(overrides={"a": {"m": 5}})
    with pytest.raises(ConfigError, match="not a date"):
        project.run(as_of="yesterday")
    assert sorted((project.outputs / "runs").iterdir()) == before


def test_runs_of_the_same_params_never_interleave(chain):
    project, _ = chain
    with only_run(project.outputs, "x") as holder:
        holder.write("20260101T000000000-aaaa", __import__("datetime").datetime(2026, 1, 1))
        with pytest.raises(Busy, match=r"20260101T000000000-aaaa.*--wait"):
            project.run()


def test_two_stages_run_side_by_side(project):
    meet = """
    import pathlib, time
    folder = run.folder.parent
    (folder / f"{me}.here").touch()
    until = time.monotonic() + 50
    while not (folder / f"{other}.here").exists():
        assert time.monotonic() < until, "the other stage did not start"
        time.sleep(0.02)
    """
    project.stage("a", meet, parameters='me = "a"\nother = "b"')
    project.stage("b", meet, parameters='me = "b"\nother = "a"')
    assert project.run(jobs=2).exit_code == 0


def test_a_fan_out_runs_a_part_for_each_value_and_can_be_gathered(project):
    save = ("save", 'run.save("size", len(region))')
    project.stage("part", save, parameters='region = ""', for_each={"region": ["north", "west"]})
    project.stage("all", 'run.save("sum", sum(run.load_each("size").values()))', needs=["part"])
    result = project.run()
    assert project.artifact(result, "all", "sum") == 9
    again = project.run()
    assert set(project.statuses(again).values()) == {"reused"}


def test_a_notebook_that_ends_early_is_a_success_and_what_follows_is_skipped(project):
    project.stage("a", 'run.stop("no new data")', "1 / 0").stage("b", needs=["a"]).stage("c")
    result = project.run()
    assert result.exit_code == 0
    assert project.statuses(result) == {"a": "succeeded", "b": "skipped", "c": "succeeded"}
    assert result.record["stages"]["a"]["stopped"] == "no new data"
    assert result.record["stages"]["b"]["why"] == "a ended early: no new data"
    notebook = (result.folder / "notebooks" / "a.ipynb").read_text()
    assert "Stopped: no new data" in notebook
    assert "papermill-error" not in notebook
    again = project.run()
    assert project.statuses(again) == {"a": "reused", "b": "skipped", "c": "reused"}


def test_as_of_reaches_the_notebooks_that_take_it_in_utc(project):
    project.stage("a", 'run.save("at", as_of)', parameters='as_of = ""').stage("b")
    result = project.run(as_of="2012-12-01T01:00+01:00")
    assert project.artifact(result, "a", "at") == "2012-12-01T00:00:00+00:00"
    assert result.record["as_of"] == "2012-12-01T00:00:00+00:00"


def test_outside_state_is_part_of_the_key(project):
    source = project.root / "data.csv"
    source.write_text("t,y\n1,2\n")
    (project.root / "params" / "x" / "config.yaml").write_text("source: {kind: csv, path: data.csv}\n")
    project.stage("a").stage("b", needs=["a"])
    project.run()
    source.write_text("t,y\n1,2\n3,4\n")
    result = project.run()
    assert project.statuses(result) == {"a": "succeeded", "b": "reused"}
    assert result.record["stages"]["a"]["why"] == "source changed"


def test_a_missing_source_fails_the_stage_with_the_code_for_data_before_any_kernel(project):
    (project.root / "params" / "x" / "config.yaml").write_text("source: {kind: csv, path: gone.csv}\n")
    project.stage("a").stage("b", needs=["a"])
    result = project.run()
    assert result.exit_code == 3
    assert project.statuses(result) == {"a": "failed", "b": "skipped"}
    assert "gone.csv is not there" in result.failures[0]


def test_two_stages_that_save_the_same_name_are_told_apart(project):
    project.stage("a", 'run.save("sa" + "me", 1)').stage("b", 'run.save("same", 2)', needs=["a"])
    result = project.run()
    assert "The stages a and b both save 'same.json'" in result.failures[0]


def test_reading_what_a_stage_does_not_need_is_refused(project):
    project.stage("a", 'run.save("one", 1)').stage("b", 'import time\ntime.sleep(0.1)\nrun.has("one")')
    result = project.run(jobs=1)
    assert "Add a to the needs of b" in result.failures[0]
