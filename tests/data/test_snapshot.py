import io

import numpy as np
import pandas as pd
import pytest

from quire import data
from quire.config import moment
from quire.data.snapshot import fingerprint
from quire.errors import DataError

SHOP_SCHEMA = """
task: regression
frequency: 1h
{extra}
columns:
  order: {{type: text, role: key}}
  at: {{type: datetime, role: timestamp}}
  region: {{type: category, categories: [north, south]}}
  price: {{type: number, minimum: 0, nullable: true}}
  sold: {{type: integer, role: target}}
"""


def shop_rows(hours=2400, start="2024-01-01"):
    return pd.DataFrame(
        {
            "order": [f"A{number}" for number in range(hours)],
            "at": pd.date_range(start, periods=hours, freq="h").strftime("%Y-%m-%dT%H:%M"),
            "region": ["north", "south"] * (hours // 2),
            "price": np.arange(hours) / 7,
            "sold": np.arange(hours) % 50,
        }
    )


@pytest.fixture
def shop(use_case, tmp_path):
    """Return a function that writes rows to the shop's source and loads its settings."""

    def make(rows=None, extra=""):
        settings = use_case(schema=SHOP_SCHEMA.format(extra=extra))
        (shop_rows() if rows is None else rows).to_csv(tmp_path / "shop.csv", index=False)
        return settings

    return make


def same(one, other):
    return all(one.frames[name].equals(other.frames[name]) for name in one.frames) and one.manifest == other.manifest


def test_the_frames_have_the_dtypes_of_the_contract(shop):
    ingested = data.ingest(shop())
    dtypes = {name: str(dtype) for name, dtype in ingested.train.dtypes.items()}
    assert dtypes == {
        "order": "str", "at": "datetime64[us, UTC]", "region": "str", "price": "float64", "sold": "Int64",
    }  # fmt: skip
    assert "sold" not in ingested.current
    assert list(ingested.labels.columns) == ["order", "at", "sold"]


def test_the_manifest_tells_rows_and_windows(shop):
    manifest = data.ingest(shop()).manifest
    assert manifest["as_of"] == "2024-04-10T00:00:00+00:00"
    assert manifest["windows"]["current"] == {
        "start": "2024-04-03T00:00:00+00:00", "end": "2024-04-10T00:00:00+00:00", "rows": 168,
    }  # fmt: skip
    assert sum(window["rows"] for window in manifest["windows"].values()) == manifest["rows"] == 2400


def test_rows_from_as_of_on_leave_no_trace(shop):
    as_of = moment("2024-03-20")
    rows = shop_rows().astype("str")
    rows.loc[rows.index >= 2000, ["region", "price"]] = ["nowhere", "broken"]
    with_later = data.ingest(shop(rows), as_of)
    without = data.ingest(shop(rows[rows["at"] < "2024-03-20"]), as_of)
    assert same(with_later, without)
    assert with_later.manifest["changes"] == []


def test_the_order_of_the_source_does_not_matter(shop):
    assert same(data.ingest(shop()), data.ingest(shop(shop_rows().sample(frac=1, random_state=1))))


def test_labels_that_are_not_known_yet_are_in_no_part(shop):
    ingested = data.ingest(shop(extra="label_delay: 14d"))
    as_of = pd.Timestamp(ingested.manifest["as_of"])
    for name in ("train", "test", "labels"):
        assert (ingested.frames[name]["at"] + pd.Timedelta(days=14) < as_of).all()
    change = next(change for change in ingested.manifest["changes"] if change["rule"] == "label_delay")
    assert change["rows"] == 7 * 24
    assert len(ingested.test) == 56 * 24


def test_rows_without_a_label_are_left_out_of_train_and_test_but_stay_current(shop):
    rows = shop_rows().astype({"sold": "object"})
    rows.loc[[0, 1, 2399], "sold"] = None
    ingested = data.ingest(shop(rows))
    lost = [change for change in ingested.manifest["changes"] if change["rule"] == "no_label"]
    assert [(change["column"], change["rows"]) for change in lost] == [("sold", 2)]
    assert len(ingested.current) == 168
    assert ingested.labels["sold"].notna().all()


def test_changes_are_counted_apart_for_the_current_window(shop):
    rows = shop_rows().astype({"price": "object"})
    rows.loc[[5, 2398, 2399], "price"] = "?!"
    change = data.ingest(shop(rows)).manifest["changes"][0]
    assert (change["rows"], change["rows_current"], change["examples"]) == (3, 2, ["?!"])


def test_a_repeated_key_is_dropped_and_told(shop):
    rows = pd.concat([shop_rows(), shop_rows().tail(3)])
    manifest = data.ingest(shop(rows)).manifest
    assert manifest["rows"] == 2400
    assert [(change["rule"], change["rows"]) for change in manifest["changes"]] == [("duplicate", 3)]


def test_no_row_before_as_of_is_told(shop):
    with pytest.raises(DataError, match="2400 rows, but none is left before as_of 2020-01-01"):
        data.ingest(shop(), moment("2020-01-01"))


def test_an_empty_source_is_told(shop):
    with pytest.raises(DataError, match=r"shop\.csv has no rows"):
        data.ingest(shop(shop_rows().head(0)))


def test_the_fingerprint_is_that_of_the_content_whatever_wrote_it(shop):
    ingested = data.ingest(shop())
    read_back = {}
    for name, frame in ingested.frames.items():
        file = io.BytesIO()
        frame.to_parquet(file, compression="gzip", row_group_size=100)
        read_back[name] = pd.read_parquet(file)
    assert fingerprint(read_back) == fingerprint(ingested.frames) == ingested.manifest["fingerprint"]


def test_the_fingerprint_differs_with_a_value_a_missing_mark_a_name_and_a_type():
    frame = pd.DataFrame({"a": [1.0, 0.0], "b": pd.Series(["x", "yz"], dtype="str")})
    others = [
        frame.assign(a=[1.0, np.nan]),
        frame.assign(a=[1.0, 0.5]),
        frame.assign(b=pd.Series(["xy", "z"], dtype="str")),
        frame.assign(b=pd.Series(["x", None], dtype="str")),
        frame.rename(columns={"a": "c"}),
        frame.assign(a=frame["a"].astype("Int64")),
    ]
    digests = {fingerprint({"part": one}) for one in [frame, *others]}
    assert len(digests) == 7
    assert fingerprint({"other": frame}) not in digests


def test_bikes_are_split_by_time_without_what_leaks(real):
    settings = real("bikes", "bike_sharing_hour.csv")
    ingested = data.ingest(settings, moment("2012-12-01"))
    assert [len(ingested.frames[name]) for name in ("train", "test", "current")] == [15163, 1307, 167]
    assert not {"casual", "registered"} & set(ingested.train.columns)
    changes = [(change["column"], change["rule"], change["rows"]) for change in ingested.manifest["changes"]]
    assert changes == [("hum", "out_of_range", 22)]
    assert ingested.train["timestamp"].max() < ingested.test["timestamp"].min()
    assert str(ingested.train["timestamp"].min()) == "2011-01-01 00:00:00+00:00"


def test_churn_is_split_at_random_and_its_blanks_are_counted(real):
    ingested = data.ingest(real("churn", "telco_churn.csv"))
    assert [len(ingested.frames[name]) for name in ("train", "test", "current")] == [4930, 1409, 704]
    shares = [(ingested.frames[name]["Churn"] == "Yes").mean() for name in ("train", "test", "labels")]
    assert max(shares) - min(shares) < 0.001
    blank = next(change for change in ingested.manifest["changes"] if change["rule"] == "blank")
    assert (blank["column"], blank["rows"]) == ("TotalCharges", 11)
    assert (ingested.manifest["changed_values"], ingested.manifest["dropped_rows"]) == (11, 0)
    assert "Churn" not in ingested.current
