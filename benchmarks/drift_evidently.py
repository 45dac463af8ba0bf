"""What evidently's default preset says of weeks that benchmarks/drift_peers.py left in a folder; prints JSON.

/path/to/its/python benchmarks/drift_evidently.py FOLDER WEEKS

Run by a Python that has evidently; Quire is not needed.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

P_VALUES = ("p_value", "K-S", "chi-square", "Z-test")
"""Marks of methods whose value is a p-value: drift is below the threshold; of distances it is above."""


def read(path: Path) -> Dataset:
    """Return the rows of one file, numbers and texts told apart."""
    with np.load(path) as columns:
        frame = pd.DataFrame({name: columns[name] for name in columns.files})
    texts = [name for name in frame if frame[name].dtype == object]
    numbers = [name for name in frame if name not in texts]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=texts)
    return Dataset.from_pandas(frame, data_definition=definition)


def drifted(current: Dataset, reference: Dataset) -> dict[str, bool]:
    """Return for each column whether the preset's defaults call it drifted."""
    found = {}
    for metric in Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]:
        config = metric["config"]
        if "column" in config:
            value, limit = float(metric["value"]), float(config["threshold"])
            is_p = any(mark in config["method"] for mark in P_VALUES)
            found[config["column"]] = value < limit if is_p else value >= limit
    return found


def main() -> None:
    """Judge every week."""
    warnings.simplefilter("ignore")
    folder, weeks = Path(sys.argv[1]), int(sys.argv[2])
    reference = read(folder / "reference.npz")
    print(json.dumps([drifted(read(folder / f"{week}.npz"), reference) for week in range(weeks)]))


if __name__ == "__main__":
    main()
