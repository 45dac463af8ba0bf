"""The doctor: each fault that it is made for is found, named, and comes with what to do."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import Ridge

from quire import artifacts, config
from quire.cli import doctor
from quire.cli.main import main
from quire.io import tracking
from quire.model.features import input_names

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the demo alone, and outputs of its own."""
    for name in ("MLFLOW_TRACKING_URI", "QUIRE_ALIAS", "QUIRE_DATA"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(ROOT / "params" / "demo", tmp_path / "params" / "demo")
    shutil.copy(ROOT / "params" / "workflow.yaml", tmp_path / "params" / "workflow.yaml")
    shutil.copy(ROOT / "requirements.lock", tmp_path / "requirements.lock")
    monkeypatch.setenv("QUIRE_ROOT", str(tmp_path))
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path


def findings(project, *asked):
    return {finding.what: finding for finding in doctor.examine(project, config.use_cases(project), asked=asked)}


def promote(project, columns):
    settings = config.load("demo", root=project)
    registry = tracking.open(settings)
    run = artifacts.open_stage(settings, str(settings.outputs / "runs" / "r1" / "artifacts" / "train"))
    X = pd.DataFrame({name: np.arange(5.0) for name in columns})
    pipeline = Ridge().fit(X, np.arange(5.0))
    candidate = registry.log_candidate(run, pipeline, params={}, metrics={}, input_example=X.head(2))
    return registry.promote(candidate, reason="", run=run)


def change(project, name, old, new):
    path = project / "params" / "demo" / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_a_fresh_clone_has_nothing_bad_and_is_told_what_to_run(project):
    found = findings(project)
    named = {what: one for what, one in found.items() if what.startswith("demo")}
    assert {one.status for one in named.values()} == {"ok", "warn"}
    assert found["demo: tracking"].todo == "`quire run params/demo` makes it."
    assert not (project / "outputs").exists()


def test_the_source_of_a_use_case_that_never_ran_is_bad_only_when_it_is_asked_for(project):
    shutil.copytree(ROOT / "params" / "bikes", project / "params" / "bikes")
    assert findings(project)["bikes: source"].status == "warn"
    assert findings(project, "bikes")["bikes: source"].status == "bad"


def test_a_champion_that_fits_the_schema_is_well(project):
    names = [name for part in input_names(config.load("demo", root=project).schema) for name in part]
    promote(project, names)
    found = findings(project)
    assert found["demo: tracking"].status == "ok"
    assert found["demo: champion"].text == f"version 1 loads, and takes the {len(names)} columns that schema.yaml gives"


def test_a_champion_that_does_not_fit_the_schema_is_bad_and_says_in_what(project):
    names = [name for part in input_names(config.load("demo", root=project).schema) for name in part]
    promote(project, [name for name in names if name != "temp"] + ["wind"])
    one = findings(project)["demo: champion"]
    assert one.status == "bad"
    assert "it needs wind; it does not know temp" in one.text
    assert "quire run params/demo" in one.todo


def test_a_champion_whose_files_are_gone_is_bad(project):
    promote(project, ["temp"])
    shutil.rmtree(project / "outputs" / "mlartifacts")
    assert findings(project)["demo: champion"].status == "bad"


def test_a_broken_tracking_store_is_bad(project):
    (project / "outputs").mkdir()
    with sqlite3.connect(project / "outputs" / "mlflow.db") as store:
        store.execute("CREATE TABLE alembic_version (version_num TEXT)")
        store.execute("INSERT INTO alembic_version VALUES ('unknown')")
    one = findings(project)["demo: tracking"]
    assert one.status == "bad"
    assert "mlflow.db" in one.text


def test_a_mistake_in_a_params_file_is_named_and_the_rest_is_still_checked(project):
    change(project, "config.yaml", "title:", "titel:")
    found = findings(project)
    assert found["demo"].status == "bad"
    assert "Did you mean 'title'?" in found["demo"].text
    assert found["python"].status == "ok"


def test_a_source_that_is_not_there_is_bad(project):
    text = "source:\n  kind: csv\n  path: nowhere.csv\n"
    (project / "params" / "demo" / "config.yaml").write_text(text, "utf-8")
    one = findings(project, "demo")["demo: source"]
    assert one.status == "bad"
    assert "nowhere.csv" in one.text


def test_a_channel_without_an_address_is_bad(project):
    change(project, "config.yaml", "${QUIRE_ALERTS:-log}", "log, webhook")
    assert findings(project)["demo: alerts"].status == "bad"


def test_libraries_that_differ_from_the_lock_are_named(project):
    (project / "requirements.lock").write_text("pandas==0.1 \\\n    --hash=sha256:0\nno-such-library==1.0\n")
    assert "no-such-library" in findings(project)["libraries"].text
    (project / "requirements.lock").write_text("pandas==0.1\n")
    one = findings(project)["libraries"]
    assert one.status == "warn"
    assert f"pandas {pd.__version__}, not 0.1" in one.text


def test_the_command_prints_each_line_with_what_to_do_and_its_code_is_1_if_one_is_bad(project):
    (project / "requirements.lock").write_text("")
    done = CliRunner().invoke(main, ["doctor", "params/demo"])
    assert done.exit_code == 0, done.output
    assert "! demo: tracking" in done.output
    assert "→ `quire run params/demo` makes it." in done.output
    change(project, "config.yaml", "title:", "titel:")
    assert CliRunner().invoke(main, ["doctor"]).exit_code == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"params": 3}'])
def test_a_broken_run_is_named_and_nothing_else_is_lost(project, content):
    folder = project / "outputs" / "runs" / "20260101T000000000-aaaa"
    (folder / "artifacts" / "ingest").mkdir(parents=True)
    (folder / "artifacts" / "ingest" / "manifest.json").write_text("{}")
    (folder / "run.json").write_text(content)
    found = findings(project)
    assert found["runs"].status == "warn"
    assert str(folder) in found["runs"].todo
    assert found["demo: predictions"].text == "no run yet"


def test_a_file_of_the_finder_among_the_runs_is_named(project):
    (project / "outputs" / "runs").mkdir(parents=True)
    (project / "outputs" / "runs" / ".DS_Store").write_bytes(b"\x00")
    assert ".DS_Store" in findings(project)["runs"].text


def test_a_clone_whose_optional_data_is_missing_is_well_after_it_ran_with_it_too(project, monkeypatch):
    shutil.copytree(ROOT / "params" / "bikes", project / "params" / "bikes")
    folder = project / "outputs" / "runs" / "20260101T000000000-aaaa"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"params": "bikes", "status": "succeeded"}')
    assert findings(project)["bikes: source"].status == "warn"
    monkeypatch.setenv("QUIRE_DATA", str(project / "nowhere"))
    assert findings(project)["bikes: source"].status == "bad"


@pytest.mark.parametrize("name", ["what? now", "a%20b", "a\nb"])
def test_a_folder_that_tools_cannot_deal_with_is_refused_by_its_sign(project, monkeypatch, name):
    monkeypatch.setenv("QUIRE_OUTPUTS", str(project / name / "outputs"))
    found = findings(project)["folders"]
    assert found.status == "bad"
    assert "QUIRE_OUTPUTS" in found.text
    for command in (["doctor"], ["run", "params/demo"]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code in (1, 2)
    assert not (project / name).exists()
