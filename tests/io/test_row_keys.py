import itertools

import pandas as pd
import pytest

from quire.io.row_keys import RowKeys, is_repeat, row_key, row_keys

PARTS = ["p", "q|r", "p|q", "r", "|", "\\", "\\|", "a\\", "|b", "", "\\\\|"]


def test_different_parts_make_different_keys():
    for size in (2, 3):
        keys = [row_key(parts) for parts in itertools.product(PARTS, repeat=size)]
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("parts", "key"), [(["a", "b"], "a|b"), (["a|b"], "a|b"), (["C:\\x", "y"], "C:\\x|y"), ([1.0, True], "1|true")]
)
def test_keys_without_the_separator_in_a_part_are_as_they_were(parts, key):
    assert row_key(parts) == key


def test_rows_that_repeat_a_key_are_told_apart_where_asked():
    frame = pd.DataFrame({"at": ["x", "y", "x", "x"]})
    assert row_keys(frame, ["at"]) == ["x", "y", "x", "x"]
    assert row_keys(frame, ["at"], numbered=True) == ["x", "y", "x|#1", "x|#2"]
    assert is_repeat("x|#2", "x")
    assert not is_repeat("x|#y", "x")


def test_a_key_that_looks_like_a_repeated_one_is_not_taken_for_it():
    values = ["x", "x", "x|#1", "x\\|#1", "x\\\\|#1", "x|#1a", "|#1", ""]
    keys = row_keys(pd.DataFrame({"k": values}), ["k"], numbered=True)
    assert len(set(keys)) == len(keys)
    assert [key for key in keys if is_repeat(key, "x")] == ["x|#1"]
    assert keys[5] == "x|#1a"


@pytest.mark.parametrize("rows_of_a_part", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("key", [[], ["at"], ["at", "id"]])
@pytest.mark.parametrize("numbered", [False, True])
def test_rows_that_come_in_parts_have_the_keys_that_they_have_at_once(rows_of_a_part, key, numbered):
    frame = pd.DataFrame({"at": list("aaabbbbbbccd"), "id": [1, 1, 2, 3, 3, 3, 3, 3, 3, 4, 4, 5]})
    keys = RowKeys(key, numbered=numbered)
    parts = [frame.iloc[start : start + rows_of_a_part] for start in range(0, len(frame), rows_of_a_part)]
    in_parts = [text for part in [*parts, frame.head(0)] for text in keys.of(part)]
    assert in_parts == row_keys(frame, key, numbered=numbered)
    assert len(set(in_parts)) == len(frame) or (key and not numbered)
