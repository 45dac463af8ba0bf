"""`pytest --nbmake notebooks` starts kernels as a run does: forked from a process that has imported what they need."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from quire.flow.context import NO_TELEMETRY
from quire.flow.fork_server import warm_kernels
from quire.flow.key import notebook_facts
from quire.flow.source_graph import SourceGraph, package_root

_session = ExitStack()


def pytest_sessionstart(session: Any) -> None:
    """Start the process, if notebooks are to be executed."""
    if session.config.getoption("nbmake", default=False):
        library = SourceGraph(package_root())
        facts = [fact for path in sorted(Path(__file__).parent.glob("*.ipynb")) for fact in notebook_facts(path)]
        os.environ.update(NO_TELEMETRY)
        os.environ.update(_session.enter_context(warm_kernels(library.imports(facts), os.environ)))


def pytest_sessionfinish() -> None:
    """End it."""
    _session.close()
