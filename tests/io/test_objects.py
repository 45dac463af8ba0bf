from pathlib import Path

import pandas as pd
import pytest

from quire.config import Config, S3Source
from quire.data.source import read_place
from quire.errors import DataError
from quire.io import objects, storage

ROWS = pd.DataFrame({"order": ["0012", "A2"], "sold": ["3", "4"]})


@pytest.fixture
def client(aws):
    """A client of an AWS with a bucket ``shop``."""
    client = storage.client("s3", aws)
    client.create_bucket(Bucket="shop", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return client


def place(aws, url, form="csv"):
    return S3Source(kind="s3", url=url, format=form, endpoint_url=aws)


def test_objects_below_a_prefix_are_listed_by_their_suffix_and_in_order(client, aws):
    for key in ("orders/b.csv", "orders/2024/a.csv", "orders/readme.txt", "other/c.csv"):
        client.put_object(Bucket="shop", Key=key, Body=b"x")
    listed = [item.path for item in objects.listed(place(aws, "s3://shop/orders"))]
    assert listed == ["shop/orders/2024/a.csv", "shop/orders/b.csv"]


def test_one_object_is_taken_whatever_its_suffix(client, aws):
    client.put_object(Bucket="shop", Key="orders", Body=b"xy")
    assert [item.size for item in objects.listed(place(aws, "s3://shop/orders"))] == [2]


@pytest.mark.parametrize(
    ("url", "message"), [("s3://shop/orders", "holds no object ending in .csv"), ("s3://no/x", "s3://no/x")]
)
def test_what_is_not_there_is_told(client, aws, url, message):
    with pytest.raises(DataError, match=message):
        objects.listed(place(aws, url))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_objects_are_read_as_one_source(client, aws, form, tmp_path):
    ROWS.to_parquet(tmp_path / "rows.parquet")
    body = ROWS.to_csv(index=False).encode() if form == "csv" else (tmp_path / "rows.parquet").read_bytes()
    for name in ("a", "b"):
        client.put_object(Bucket="shop", Key=f"orders/{name}.{form}", Body=body)
    raw = read_place(Config(source=place(aws, "s3://shop/orders", form)), Path(), None)
    assert raw.frame["order"].tolist() == ["0012", "A2", "0012", "A2"]
