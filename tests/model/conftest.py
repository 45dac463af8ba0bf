"""Small frames in the form of a snapshot: hourly demand, and customers that leave or stay."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quire.config import Schema

HOURLY = {
    "task": "regression",
    "frequency": "1h",
    "segments": ["workday"],
    "columns": {
        "at": {"type": "datetime", "role": "timestamp", "calendar": ["hour", "weekday"]},
        "temperature": {"type": "number", "unit": "°C"},
        "weather": {"type": "category", "categories": ["dry", "wet"]},
        "workday": {"type": "boolean"},
        "note": {"type": "text", "role": "ignore", "why": "written afterwards"},
        "demand": {"type": "integer", "role": "target", "minimum": 0, "unit": "rentals"},
    },
}

CUSTOMERS = {
    "task": "binary",
    "positive": "yes",
    "columns": {
        "id": {"type": "text", "role": "key"},
        "months": {"type": "integer"},
        "plan": {"type": "category", "categories": ["small", "middle", "large"]},
        "leaves": {"type": "category", "role": "target", "categories": ["no", "yes"]},
    },
}


def schema_of(document, **changes):
    """The schema that a document of plain values describes."""
    return Schema.model_validate_json(json.dumps({**document, **changes}))


def hourly(weeks, seed=0):
    """Demand that follows hour, workday, temperature and weather, with noise."""
    rng = np.random.default_rng(seed)
    at = pd.date_range("2026-01-05", periods=weeks * 168, freq="h", tz="UTC").as_unit("us")
    hour, workday = at.hour.to_numpy(), at.day_of_week.to_numpy() < 5
    temperature = 10 + 8 * np.sin(np.arange(len(at)) / 500) + rng.normal(0, 2, len(at))
    wet = rng.random(len(at)) < 0.2
    peak = np.where(workday, np.exp(-(((hour - 8) / 2) ** 2)), np.exp(-(((hour - 14) / 4) ** 2)))
    mean = (5 + 80 * peak) * np.exp(temperature / 30) * np.where(wet, 0.6, 1.0)
    return pd.DataFrame(
        {
            "at": at,
            "temperature": temperature,
            "weather": pd.Series(np.where(wet, "wet", "dry"), dtype="str"),
            "workday": pd.array(workday, dtype="boolean"),
            "note": pd.Series([f"{value:.0f}" for value in mean], dtype="str"),
            "demand": pd.array(rng.poisson(mean), dtype="Int64"),
        }
    )


def customers(rows, seed=0):
    """Customers who leave early, and from small plans."""
    rng = np.random.default_rng(seed)
    months = rng.integers(0, 60, rows)
    plan = rng.choice(["small", "middle", "large"], rows)
    odds = 1.0 - months / 15 + np.where(plan == "small", 1.0, 0.0)
    leaves = rng.random(rows) < 1 / (1 + np.exp(-odds))
    return pd.DataFrame(
        {
            "id": pd.Series([f"c{at}" for at in range(rows)], dtype="str"),
            "months": pd.array(months, dtype="Int64"),
            "plan": pd.Series(plan, dtype="str"),
            "leaves": pd.Series(np.where(leaves, "yes", "no"), dtype="str"),
        }
    )


@pytest.fixture(scope="session")
def make():
    """The builders above, for tests that need frames or schemas of their own."""
    return SimpleNamespace(HOURLY=HOURLY, CUSTOMERS=CUSTOMERS, schema=schema_of, hourly=hourly, customers=customers)


@pytest.fixture(scope="session")
def hourly_schema():
    return schema_of(HOURLY)


@pytest.fixture(scope="session")
def customer_schema():
    return schema_of(CUSTOMERS)


@pytest.fixture(scope="session")
def multiclass_schema():
    columns = {
        "id": {"type": "text", "role": "key"},
        "months": {"type": "integer"},
        "leaves": {"type": "category", "categories": ["no", "yes"]},
        "plan": {"type": "category", "role": "target", "categories": ["small", "middle", "large"]},
    }
    return schema_of(CUSTOMERS, task="multiclass", positive=None, columns=columns)


@pytest.fixture(scope="session")
def hourly_parts():
    frame = hourly(14)
    return frame.iloc[: 10 * 168].reset_index(drop=True), frame.iloc[10 * 168 :].reset_index(drop=True)


@pytest.fixture(scope="session")
def customer_parts():
    frame = customers(1500)
    return frame.iloc[:1000].reset_index(drop=True), frame.iloc[1000:].reset_index(drop=True)
