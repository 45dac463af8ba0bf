"""A column that gives the answer alone is left out, however its values lie; an honest one stays."""

import numpy as np
import pandas as pd
import pytest

from quire.data.leaks import GIVES, MAY_GIVE, skill_of

ROWS = 6000


def binary(rng, share):
    return pd.Series(np.where(rng.random(ROWS) < share, "yes", "no"))


SHAPES = {
    "a probability of another model": lambda rng, yes: np.where(
        yes, 1 - rng.beta(0.2, 40, ROWS), rng.beta(0.2, 40, ROWS)
    ),
    "two ranges side by side": lambda rng, yes: np.where(yes, rng.uniform(5, 6, ROWS), rng.uniform(0, 5, ROWS)),
    "amounts of very different size": lambda rng, yes: np.where(
        yes, rng.lognormal(9, 1, ROWS), -rng.lognormal(1, 3, ROWS)
    ),
    "a range within the other": lambda rng, yes: np.where(yes, rng.uniform(2, 2.1, ROWS), rng.uniform(-5, 2, ROWS)),
    "whole numbers": lambda rng, yes: np.where(yes, rng.integers(1000, 1400, ROWS), rng.integers(0, 1000, ROWS)),
}


# Of 3 % of the rows half are 84 to judge on, so that a single error at the edge is more than 1 %.
@pytest.mark.parametrize(("share", "least"), [(0.5, GIVES), (0.16, GIVES), (0.03, MAY_GIVE)])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_number_that_parts_the_classes_gives_the_answer(shape, share, least):
    rng = np.random.default_rng(7)
    answer = binary(rng, share)
    column = pd.Series(SHAPES[shape](rng, (answer == "yes").to_numpy()), dtype="float64")
    assert skill_of(column, answer, "binary") >= least


def test_a_number_with_a_range_for_each_of_several_classes_gives_the_answer():
    rng = np.random.default_rng(7)
    answer = rng.integers(0, 7, ROWS)
    column = pd.Series((answer * 37 % 7) * 10 + rng.uniform(0, 9, ROWS))
    assert skill_of(column, pd.Series(answer.astype(str)), "multiclass") >= GIVES


@pytest.mark.parametrize("share", [0.5, 0.16])
@pytest.mark.parametrize("apart", [0.0, 1.0, 2.5])
def test_a_number_whose_classes_overlap_stays(apart, share):
    rng = np.random.default_rng(7)
    answer = binary(rng, share)
    column = pd.Series(rng.normal(0, 1, ROWS) + apart * (answer == "yes"))
    assert skill_of(column, answer, "binary") < MAY_GIVE


def test_names_of_rows_say_nothing_of_other_rows():
    rng = np.random.default_rng(7)
    answer = binary(rng, 0.5)
    assert skill_of(pd.Series(rng.permutation(ROWS).astype(float)), answer, "binary") < 0.2
    assert skill_of(pd.Series([f"row {number}" for number in range(ROWS)]), answer, "binary") < 0.2
