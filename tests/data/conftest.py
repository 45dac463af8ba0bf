"""Small use cases in a temporary project, and the real files where they are."""

import os
from pathlib import Path

import pytest

from quire import config

ROOT = Path(__file__).parents[2]

SHOP = {
    "config.yaml": "source: {kind: csv, path: shop.csv}\n",
    "schema.yaml": """
task: regression
columns:
  order: {type: text, role: key}
  at: {type: datetime, role: timestamp}
  region: {type: category, categories: [north, south]}
  price: {type: number, minimum: 0}
  sold: {type: integer, role: target}
""",
    "params.yaml": "ingest: {}\n",
}


@pytest.fixture
def use_case(tmp_path):
    """Return a function that writes a use case (texts by file name, over those of a small shop) and loads it."""

    def make(name="shop", environment=None, **files):
        folder = tmp_path / "params" / name
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "params" / "workflow.yaml").write_text((ROOT / "params" / "workflow.yaml").read_text())
        for file, text in {**SHOP, **{f"{key}.yaml": text for key, text in files.items()}}.items():
            (folder / file).write_text(text)
        return config.load(name, root=tmp_path, environment=environment or {})

    return make


@pytest.fixture
def real(monkeypatch):
    """Return a function that loads bikes or churn with their real file, or skips."""

    def load(name, file):
        folder = os.environ.get("QUIRE_DATA", "")
        if not (Path(folder) / file).is_file() or not folder:
            pytest.skip(f"{file} is not here: set QUIRE_DATA to the folder that holds it; README says where to get it.")
        return config.load(name, root=ROOT)

    return load
