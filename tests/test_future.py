"""A backfill of the demo: no date sees what came later, and each is judged against the champion of its time."""

import json

import pytest
from tests.conftest import make_project

FIRST, LAST = "2024-01-20", "2024-01-27"
POISON = f"""
  faults:
    - {{kind: demand_shift, at: {LAST}, size: 5}}
    - {{kind: unit_change, at: {LAST}, column: temp, size: 41}}
    - {{kind: new_category, at: {LAST}, column: weathersit, size: 0.9}}
"""


def backfill(project, alias, start):
    """Return what each date's run said of its models, by date."""
    stages = ["--from", start, "--to", LAST, "--every", "7d", "--alias", alias, "--quiet"]
    project.quire("backfill", "params/demo", *stages)
    found = {}
    for folder in project.runs:
        record = json.loads((folder / "run.json").read_text())
        if record["alias"] == alias:
            text = {n: (folder / f"artifacts/evaluate/{n}.json").read_text() for n in ("evaluation", "verdict")}
            found[record["as_of"][:10]] = {name: json.loads(value) for name, value in text.items()}
    return found


@pytest.mark.slow
def test_rows_after_a_date_change_nothing_and_the_champion_is_the_last_one_before_it(tmp_path):
    project = make_project(tmp_path / "project", hours=6000, trials=1)
    clean = backfill(project, "clean", FIRST)
    assert clean[FIRST]["evaluation"]["champion"] is None
    assert clean[FIRST]["verdict"]["promoted"] is True
    assert clean[LAST]["evaluation"]["champion"]["version"] == clean[FIRST]["verdict"]["version"]

    config = project.root / "params" / "demo" / "config.yaml"
    config.write_text(config.read_text().replace("\n  seed: 7\n", f"\n  seed: 7{POISON}"))
    poisoned = backfill(project, "poisoned", LAST)
    for which in ("candidate", "baseline"):
        assert poisoned[LAST]["evaluation"][which] == clean[LAST]["evaluation"][which]
    shown = project.quire("champion", "params/demo", check=False)
    assert "has no champion yet" in shown.stdout + shown.stderr
