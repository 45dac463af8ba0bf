"""Tests of models for segments: trained apart, joined into one."""

import numpy as np
import pandas as pd
import pytest

from quire.config import Search
from quire.errors import ConfigError, DataError
from quire.io import model_files
from quire.model import fit_candidate, join_parts, measure, model_input, outcomes, predict, save_part, segment_rows

QUICK = Search(trials=1, folds=2, space={"max_iter": [30]})


def trained(train, schema, column, values, folder):
    """Each value's part in a folder of its own, as the stages of a fan-out leave them."""
    folders = {}
    for value in values:
        rows = segment_rows(train, schema, column, value)
        folders[f"part.segment-{value}"] = folder / value
        save_part(folder / value, value, fit_candidate(rows, schema, search=QUICK))
    return folders


@pytest.fixture(scope="module")
def hourly(hourly_parts, hourly_schema, tmp_path_factory):
    train = hourly_parts[0]
    folders = trained(train, hourly_schema, "workday", ("true", "false"), tmp_path_factory.mktemp("hourly"))
    return folders, join_parts(folders, train, hourly_schema, "workday")


def test_each_row_is_predicted_by_the_model_of_its_segment(hourly, hourly_parts, hourly_schema):
    folders, joined = hourly
    test = hourly_parts[1]
    together = predict(joined.pipeline, test, hourly_schema)["prediction"]
    for value in ("true", "false"):
        rows = segment_rows(test, hourly_schema, "workday", value)
        alone = predict(model_files.load_model(folders[f"part.segment-{value}"]), rows, hourly_schema)["prediction"]
        pd.testing.assert_series_equal(together[rows.index], alone, check_exact=True)


def test_the_joined_candidate_is_judged_on_all_rows_none_of_which_its_model_saw(hourly, hourly_parts, hourly_schema):
    _, joined = hourly
    train, test = hourly_parts
    assert joined.rows == len(train)
    assert joined.out_of_fold["prediction"].notna().all()
    assert list(joined.out_of_fold.index) == list(train.index)
    assert joined.metrics["mae"] == pytest.approx(measure(joined.outcomes)["mae"])
    assert joined.metrics["mae"] > measure(outcomes(joined.pipeline, train, hourly_schema))["mae"]
    assert measure(outcomes(joined.pipeline, test, hourly_schema))["r2"] > 0.5
    assert set(joined.trials["segment"]) == {"true", "false"}


def test_a_value_without_a_model_goes_to_the_model_that_learned_from_most_rows(hourly, hourly_parts, hourly_schema):
    folders, joined = hourly
    X = model_input(hourly_parts[1].head(50), hourly_schema)
    unknown = X.assign(workday=pd.Series(np.nan, X.index, dtype=object))
    largest = model_files.load_model(folders["part.segment-true"])
    assert (hourly_parts[0]["workday"]).mean() > 0.5
    np.testing.assert_array_equal(joined.pipeline.predict(unknown), largest.predict(unknown))


def test_the_joined_model_can_be_stored_and_loaded_like_any_other(hourly, hourly_parts, hourly_schema, tmp_path):
    _, joined = hourly
    assert not hasattr(joined.pipeline, "predict_proba")
    model_files.write_pipeline(tmp_path, joined.pipeline)
    again = model_files.load_model(tmp_path)
    pd.testing.assert_frame_equal(
        predict(again, hourly_parts[1], hourly_schema), predict(joined.pipeline, hourly_parts[1], hourly_schema)
    )
    assert again.fingerprint_ == joined.fingerprint


def test_probabilities_of_the_segments_are_joined_and_share_a_threshold(customer_parts, customer_schema, tmp_path):
    train, test = customer_parts
    column = next(n for n in customer_schema.features if customer_schema.columns[n].type == "category")
    values = train[column].dropna().unique()
    folders = trained(train.dropna(subset=[column]), customer_schema, column, values, tmp_path)
    joined = join_parts(folders, train.dropna(subset=[column]), customer_schema, column)
    found = predict(joined.pipeline, test, customer_schema)
    assert found["probability"].between(0, 1).all()
    said = found["prediction"] == str(customer_schema.positive)
    assert (said == (found["probability"] >= joined.threshold)).all()
    assert measure(outcomes(joined.pipeline, test, customer_schema))["roc_auc"] > 0.6


def test_a_segment_that_is_not_there_and_a_column_that_is_no_feature_are_told(hourly_parts, hourly_schema):
    with pytest.raises(DataError, match=r"workday 'yes', of which train has no row; it has: false, true"):
        segment_rows(hourly_parts[0], hourly_schema, "workday", "yes")
    with pytest.raises(ConfigError, match=r"column is 'work_day'; .*Did you mean 'workday'"):
        segment_rows(hourly_parts[0], hourly_schema, "work_day", "true")


def test_rows_of_a_segment_without_a_part_are_told(hourly, hourly_parts, hourly_schema):
    only = {name: folder for name, folder in hourly[0].items() if "true" in name}
    with pytest.raises(DataError, match=r"rows of train are in no part, such as workday 'false'"):
        join_parts(only, hourly_parts[0], hourly_schema, "workday")
