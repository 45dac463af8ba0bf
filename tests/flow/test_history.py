import json

import pytest
from click.testing import CliRunner

from quire.cli import main
from quire.errors import ArtifactError
from quire.flow import history
from quire.flow.retention import remove_old_runs


@pytest.fixture(scope="module")
def two(shared_project):
    project = shared_project
    answer = '{"status": "good", "headline": "", "facts": [], "metrics": {"r2": n / 10}}'
    project.stage("a", 'run.save("n", n)', f'run.save("_answer", {answer})', parameters="n = 1").stage("b")
    return project, project.run(), project.run(overrides={"a": {"n": 2}})


def command(project, monkeypatch, *arguments):
    monkeypatch.setenv("QUIRE_ROOT", str(project.root))
    done = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_runs_are_listed_newest_first(two, monkeypatch):
    project, first, second = two
    lines = command(project, monkeypatch, "runs").splitlines()
    assert lines[1].startswith(second.record["run_id"])
    assert lines[2].startswith(first.record["run_id"])
    assert len(json.loads(command(project, monkeypatch, "runs", "params/x", "--json", "-n", "1"))) == 1


def test_a_run_is_shown_by_a_part_of_its_id(two, monkeypatch):
    project, _, second = two
    text = command(project, monkeypatch, "show", second.record["run_id"][-4:])
    assert "n = 1 -> 2" in text
    assert "unchanged since run" in text
    with pytest.raises(ArtifactError, match="No run matches"):
        history.find(project.outputs, "zzzz")


def test_two_runs_are_compared_in_parameters_metrics_times_and_artifacts(two, monkeypatch):
    project, first, second = two
    changes = history.compare(first.folder, second.folder)
    assert changes["parameters"] == {"a.n": (1, 2)}
    assert changes["metrics"] == {"a.r2": (0.1, 0.2)}
    assert list(changes["artifacts"]) == ["a/n.json"]
    assert "b" in changes["status"]
    text = command(project, monkeypatch, "diff", first.record["run_id"], second.record["run_id"])
    assert "a.n  1  ->  2" in text


def test_why_says_what_changed_since_the_last_run(two, monkeypatch):
    project, _, _ = two
    assert "nothing changed" in command(project, monkeypatch, "why", "b", "params/x")
    project.params(a={"n": 7})
    assert "n = 2 -> 7" in command(project, monkeypatch, "why", "a", "params/x")
    project.params()


def test_the_graph_is_printed(two, monkeypatch):
    project, _, _ = two
    assert command(project, monkeypatch, "graph", "params/x").split() == ["a", "b"]


def test_old_runs_go_and_what_newer_ones_hold_is_still_reused(two, monkeypatch):
    project, first, second = two
    assert remove_old_runs(project.outputs, keep=1, dry_run=True) == [first.record["run_id"]]
    assert first.folder.exists()
    assert "1 runs removed" in command(project, monkeypatch, "clean", "--keep", "1")
    assert not first.folder.exists()
    assert json.loads((second.folder / "artifacts" / "a" / "n.json").read_text()) == 2
    again = project.run(overrides={"a": {"n": 2}})
    assert set(project.statuses(again).values()) == {"reused"}
