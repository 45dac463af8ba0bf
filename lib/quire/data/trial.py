"""A drafted use case tried on the rows it was drafted from, by what the run's ingest and validate do."""

from dataclasses import dataclass

import pandas as pd

from quire.config import Settings
from quire.data import quality, snapshot
from quire.data.source import SourceFrame
from quire.errors import DataError

TRIED_ROWS = 10_000
"""Most rows of a part that the rules are tried on."""


@dataclass(frozen=True)
class Trial:
    """What a run would make of the rows: those to learn from, and what it would warn of."""

    train: pd.DataFrame
    warnings: tuple[str, ...]


def try_draft(raw: SourceFrame, settings: Settings) -> Trial:
    """Return what ingest and validate make of the rows; raises DataError where a run would stop.

    raw: all rows and columns of the source, as `quire.data.source.read_place` returns them.
    """
    options = settings.params.get("ingest", {})
    lengths = {name: str(options.get(name, "")) for name in ("current", "test", "train")}
    shares = {name: float(options.get(name, 0.1)) for name in ("test_share", "current_share")}
    ingested = snapshot.ingest_rows(raw, settings, lengths=lengths, shares=shares)
    frames = {name: frame.head(TRIED_ROWS) for name, frame in ingested.frames.items() if name != "labels"}
    report = quality.validate(frames, settings.schema, ingested.manifest)
    failed = report.having("fail")
    if failed:
        listing = "; ".join(check.sentence for check in failed[:5])
        raise DataError(
            f"The data does not hold what a run needs: {listing}. Nothing was written. Mend the source, "
            "or name other columns with --target and --timestamp."
        )
    return Trial(ingested.train, tuple(check.sentence for check in report.having("warn")))
