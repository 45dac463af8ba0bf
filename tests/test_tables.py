"""Any table goes through `quire init` and a whole run, or is refused with what to do; see benchmarks/tables.py."""

import pytest
from tests.table_runs import names_remedy, run_table
from tests.tables import draw_recipe

TABLES = 20


@pytest.mark.parametrize("number", range(TABLES))
def test_a_table_goes_through_all_stages_or_is_refused_with_what_to_do(tmp_path, tracking_store, number):
    recipe = draw_recipe(number)
    outcome = run_table(recipe, tmp_path / "project", tracking_store, displays=False, insists=number % 2 == 0)
    assert outcome.kind != "failed", f"{outcome.stage}: {outcome.reason}\n{recipe}\n{outcome.details}"


@pytest.mark.parametrize(
    ("message", "is_named"),
    [
        ("The target 'y' is constant. Name another column with --target.", True),
        ("x.csv has no rows: bring a file with rows.", True),
        ("Version 3 does not fit schema.yaml. Train a model for this schema: `quire run`.", True),
        ("The gate refused it; --force promotes it all the same, or use another.", True),
        ("The target 'y' is constant: nothing can be learned.", False),
        ("window shape cannot be larger than input array shape", False),
        ("", False),
    ],
)
def test_a_remedy_is_something_that_a_person_is_told_to_do(message, is_named):
    assert names_remedy(message) is is_named
