"""The promises of the drift rule, on a smaller study than benchmarks/drift.py runs."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "drift.py"
    spec = importlib.util.spec_from_file_location("drift_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(benchmark):
    found = benchmark.study(worlds=4, seed=5, sizes=(500, 5_000))
    return {(row["kind"], row["n"]): row for row in found}


@pytest.mark.parametrize("n", [500, 5_000])
@pytest.mark.parametrize(("kind", "most"), [("iid", 0.01), ("wobble", 0.01), ("seasons", 0.03)])
def test_quiet_weeks_rarely_alert(rows, kind, most, n):
    assert rows[kind, n]["weeks"] == 208
    assert rows[kind, n]["alerts"] <= most


@pytest.mark.parametrize("kind", ["iid", "wobble"])
def test_moderate_drift_is_found(rows, kind):
    assert min(rows[kind, 5_000]["found"].values()) >= 0.95


def test_a_shift_is_found_at_once_where_weeks_are_independent(rows):
    assert rows["iid", 500]["first"]["shift of 0.5 sd"] == 1.0


def test_the_upper_bound_of_no_alarm_in_a_thousand_weeks_is_three_in_a_thousand(benchmark):
    assert benchmark.upper_bound(0, 1_000) == pytest.approx(0.003, abs=1e-4)
