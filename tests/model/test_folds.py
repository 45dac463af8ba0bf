"""Tests of the folds of cross-validation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import DataError
from quire.model.folds import make_folds, make_partition


@given(weeks=st.integers(2, 6), folds=st.integers(2, 5))
@settings(max_examples=15, deadline=None)
def test_a_fold_is_judged_on_rows_later_than_all_it_learns_from(make, hourly_schema, weeks, folds):
    frame = make.hourly(weeks)
    splits = make_folds(frame, hourly_schema, folds=folds, seed=0)
    assert len(splits) == folds
    for learn, judge in splits:
        assert frame["at"].iloc[learn].max() < frame["at"].iloc[judge].min()
    judged = np.concatenate([judge for _, judge in splits])
    assert len(judged) == len(set(judged))
    assert judged.max() == len(frame) - 1
    assert len(splits[0][0]) >= 0.6 * len(frame)


def test_rows_of_one_time_stay_together(make, hourly_schema):
    frame = pd.concat([make.hourly(3)] * 3).sort_values("at", kind="stable", ignore_index=True)
    for learn, judge in make_folds(frame, hourly_schema, folds=3, seed=0):
        assert not set(frame["at"].iloc[learn]) & set(frame["at"].iloc[judge])


def test_labels_that_were_not_known_yet_are_not_learned_from(make):
    schema = make.schema(make.HOURLY, label_delay="2d")
    frame = make.hourly(4)
    for learn, judge in make_folds(frame, schema, folds=3, seed=0):
        assert frame["at"].iloc[learn].max() + pd.Timedelta("2D") <= frame["at"].iloc[judge].min()


def test_a_delay_as_long_as_the_window_is_said(make):
    schema = make.schema(make.HOURLY, label_delay="90d")
    with pytest.raises(DataError, match="label_delay is 90d"):
        make_folds(make.hourly(4), schema, folds=3, seed=0)


def test_without_time_classes_keep_their_shares(make, customer_schema):
    frame = make.customers(600)
    share = (frame["leaves"] == "yes").mean()
    for _, judge in make_folds(frame, customer_schema, folds=3, seed=1):
        assert (frame["leaves"].iloc[judge] == "yes").mean() == pytest.approx(share, abs=0.01)


def test_a_class_rarer_than_the_folds_takes_fewer_of_them(make, customer_schema):
    frame = make.customers(60).assign(leaves=["yes", "yes"] + ["no"] * 58)
    splits = make_folds(frame, customer_schema, folds=3, seed=0)
    assert [set(frame["leaves"].iloc[rows]) for fold in splits for rows in fold] == [{"no", "yes"}] * 4


@pytest.mark.parametrize("weeks", [1, 2, 9])
def test_a_partition_judges_every_row_once(make, hourly_schema, weeks):
    frame = make.hourly(weeks)
    splits = make_partition(frame, hourly_schema, folds=4, seed=0)
    assert sorted(np.concatenate([judge for _, judge in splits])) == list(range(len(frame)))
    for learn, judge in splits:
        assert sorted([*learn, *judge]) == list(range(len(frame)))


def test_whole_weeks_take_turns_in_a_partition(make, hourly_schema):
    frame = make.hourly(8)
    week = (np.arange(len(frame)) // 168).astype(int)
    for _, judge in make_partition(frame, hourly_schema, folds=4, seed=0):
        assert set(np.bincount(week[judge], minlength=8)) == {0, 168}


def test_too_few_rows_are_said(make, hourly_schema):
    with pytest.raises(DataError, match="5 rows, and a search takes 6"):
        make_folds(make.hourly(1).head(5), hourly_schema, folds=4, seed=0)
