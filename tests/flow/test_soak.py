"""Five rounds of what ``make soak`` does two hundred times."""

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("soak", Path(__file__).with_name("soak.py"))
soak = importlib.util.module_from_spec(spec)
spec.loader.exec_module(soak)


@pytest.mark.slow
def test_after_a_kill_at_any_moment_the_next_run_completes_and_nothing_is_left(project):
    assert soak.soak(soak.fill(project), rounds=5, seed=0) >= 3


@pytest.mark.slow
def test_after_a_kill_at_any_moment_the_next_run_publishes_what_is_owed(project):
    assert soak.soak(soak.fill(project), rounds=3, seed=0, publish=True) >= 1
