"""Who may write to a run: its runner's own kernels, while their stage runs."""

import json
from pathlib import Path

import pytest

from quire import config
from quire.io import artifacts
from quire.io.permissions import TRY, doors, held_back, is_executing, proof

ROOT = Path(__file__).parents[2]
TOKEN = "5f2a"
RUNNING = {
    "params": "demo", "status": "running", "proof": proof(TOKEN),
    "stages": {"train": {"status": "running"}, "evaluate": {"status": "waiting"}, "ingest": {"status": "succeeded"}},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "outputs" / "runs" / "20260101T000000000-aaaa" / "artifacts" / "train"


def write(folder, **content):
    run = folder.parent.parent
    run.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text(json.dumps({**RUNNING, **content}))


def test_the_runners_kernel_executes_its_stage_and_no_other(folder):
    write(folder)
    assert is_executing(folder, TOKEN)
    assert not is_executing(folder.with_name("evaluate"), TOKEN)
    assert not is_executing(folder.with_name("ingest"), TOKEN)
    assert not is_executing(folder.with_name("monitor"), TOKEN)


@pytest.mark.parametrize("token", ["", "5f2b", proof(TOKEN)])
def test_nobody_without_the_token_executes_it(folder, token):
    write(folder)
    assert not is_executing(folder, token)


@pytest.mark.parametrize("status", ["succeeded", "failed", "interrupted"])
def test_a_run_that_has_ended_and_a_stage_that_has_are_executed_by_nobody(folder, status):
    write(folder, status=status)
    assert not is_executing(folder, TOKEN)
    write(folder, stages={"train": {"status": status}})
    assert not is_executing(folder, TOKEN)


def test_a_run_of_older_versions_and_a_folder_that_is_no_run_are_executed_by_nobody(folder):
    assert not is_executing(folder, TOKEN)
    write(folder, proof="")
    assert not is_executing(folder, TOKEN)
    assert not is_executing(folder, "")
    (folder.parent.parent / "run.json").write_text("{")
    assert not is_executing(folder, TOKEN)


def test_a_notebook_opens_its_run_as_a_stage_with_the_token_and_by_hand_without(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path / "outputs"))
    settings = config.load("demo", root=ROOT)
    write(folder, publish=False)
    monkeypatch.setenv("QUIRE_RUN_TOKEN", TOKEN)
    run = artifacts.open(settings, str(folder))
    assert (run.by_hand, run.folder, run.held_back) == (False, folder, "--no-publish")
    assert "--no-publish: no alias moves" in str(run)
    monkeypatch.delenv("QUIRE_RUN_TOKEN")
    run = artifacts.open(settings, str(folder))
    assert (run.by_hand, run.reads, run.held_back) == (True, folder.parent.parent, "by hand")


def test_what_a_run_may_change_is_noted_for_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path / "outputs"))
    settings = config.load("demo", root=ROOT)
    expected = {
        (): (True, True, ""),
        (("publish", False),): (False, False, "--no-publish"),
        (("try", "x"),): (False, True, TRY),
    }
    for content, (publishes, tracks, why_not) in expected.items():
        write(folder, **dict(content))
        run = artifacts.open_stage(settings, str(folder))
        assert (run.publishes, run.tracks, run.held_back) == (publishes, tracks, why_not)
        assert held_back(dict(content)) == why_not
        assert set((folder / artifacts.INPUTS).read_text().split()) == set(doors(dict(content)))
