"""Old runs and what the cache knows of them."""

import shutil
from pathlib import Path

from quire.flow import history
from quire.flow.cache import Cache
from quire.flow.lock import only_run
from quire.io import pending_notes


def remove_old_runs(outputs: Path, *, keep: int, params: str = "", dry_run: bool = False) -> list[str]:
    """Remove all but the newest ``keep`` runs of each params folder, and return the ids of those that went.

    The newest run that succeeded always stays: notebooks opened by hand read it; so does one that is not published yet.
    Models are in the tracking store and predictions in the database; neither is touched. Raises Busy if a run of the
    params is under way.
    """
    by_params: dict[str, list[dict]] = {}
    for record in history.runs(outputs, params=params):
        by_params.setdefault(record["params"], []).append(record)
    run_ids: list[str] = []
    for name, records in by_params.items():
        good = next((record for record in records if record["status"] == "succeeded" and not record.get("try")), None)
        protected_ids = {good["run_id"] if good else "", *pending_notes.runs(outputs).names()}
        old = [record["run_id"] for record in records[keep:] if record["run_id"] not in protected_ids]
        run_ids += old
        if old and not dry_run:
            with only_run(outputs, name):
                for run_id in old:
                    _remove(outputs / "runs" / run_id)
                Cache(outputs, name).prune({record["run_id"] for record in records} - set(old))
    return sorted(run_ids)


def _remove(folder: Path) -> None:
    """Remove a run's folder; run.json goes first, so that one that is half removed is no run."""
    (folder / "run.json").unlink(missing_ok=True)
    shutil.rmtree(folder)
