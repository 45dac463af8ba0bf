"""What a notebook may change: only the runner's own kernels write to a run, and not every run publishes.

A run has a token, which its kernels get and run.json holds the digest of. Whoever executes a notebook without it, or
after its stage has ended, does so by hand.
"""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quire.io import runs

PUBLISHES = "?publishes"
TRACKS = "?tracks"
"""Noted among the inputs of a stage that asked whether it may change what others see: its result depends on it."""

NO_PUBLISH = "--no-publish"
TRY = "--try"

NO_PROMOTION = {
    "by hand": "By hand no alias moves. Use `quire run`, or `quire promote` to approve a candidate.",
    "--no-publish": "The run was started with --no-publish: no alias moves. Ask `run.publishes` before you promote.",
    "--try": "The run is an experiment (--try): no alias moves. Ask `run.publishes` before you promote.",
}
"""What is said where a notebook promotes though it may not."""


def held_back(record: Mapping[str, Any]) -> str:
    """Return the option by which the run of a record changes nothing that others see; empty where it may."""
    if record.get("try"):
        return TRY
    return "" if record.get("publish", True) else NO_PUBLISH


def doors(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what a stage learns that asks whether it may change what others see, by the names noted for the runner."""
    why_not = held_back(record)
    return {PUBLISHES: why_not or "yes", TRACKS: "no" if why_not == NO_PUBLISH else "yes"}


def proof(token: str) -> str:
    """Return what run.json holds of a run's token, which only the runner and its kernels know."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_executing(folder: Path, token: str) -> bool:
    """Whether the runner that gave this process ``token`` executes, now, the stage with its artifacts in ``folder``."""
    record = runs.read(folder.parent.parent)
    stage = record.get("stages", {}).get(folder.name, {})
    is_running = record.get("status") == "running" and stage.get("status") == "running"
    return is_running and bool(token) and hmac.compare_digest(str(record.get("proof", "")), proof(token))
