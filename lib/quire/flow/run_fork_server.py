"""The fork server of a run, and what its notebooks have it import."""

import os
import sys
import threading

from quire.flow.context import Context
from quire.flow.fork_server import ForkServer, ForkServerPool, is_possible, use_provisioner
from quire.flow.forkserver import frozen
from quire.flow.key import reach_of
from quire.flow.libraries import Libraries
from quire.flow.source_facts import read_source_facts
from quire.flow.source_graph import Reach
from quire.flow.syntax import UNKNOWN

PUBLISH = "publish"
"""What the publisher is called among the stages."""


class RunForkServer:
    """The fork server of a run, started when the first kernel is needed; without one, kernels start as usual."""

    def __init__(self, context: Context) -> None:
        """Nothing starts yet."""
        self._context = context
        self._fork_servers = context.drivers.fork_servers or ForkServerPool()
        self._lock = threading.Lock()
        self._tried = False
        self._server: ForkServer | None = None

    def variables(self, stage: str) -> dict[str, str]:
        """Return what the environment of a stage's kernel needs to be forked; nothing if it cannot be."""
        if stage in self._context.graph and cold_reason(self._reach(stage), self._context.libraries):
            return {}
        server = self.started()
        return server.variables(stage) if server else {}

    def started(self) -> ForkServer | None:
        """Return the server, started now if it was not; None if kernels are not to be forked, or cannot be."""
        with self._lock:
            if not self._tried:
                self._tried = True
                if not self._context.request.cold and not self._context.drivers.kernel and is_possible():
                    environment = self._context.environment
                    server = self._fork_servers.server({**os.environ, **environment})
                    if not server.is_told:
                        server.preload(self._wants(), environment)
                    if use_provisioner():  # asked while the server imports: it takes a while
                        self._server = server
            return self._server

    def close(self) -> None:
        """End the server, but for one that is kept for other runs."""
        if not self._context.drivers.fork_servers:
            self._fork_servers.close()

    def _wants(self) -> dict[str, list[str]]:
        context = self._context
        stages = context.record.stages
        reaches = {
            name: self._reach(name) for name in context.graph if stages[name]["status"] in ("waiting", "running")
        }
        wants = {
            name: [] if cold_reason(reach, context.libraries) else reach.imports for name, reach in reaches.items()
        }
        if context.request.publish:
            # What no notebook imports, the publisher does by itself, and gives way to them; the server would not.
            own = {name for names in wants.values() for name in names}
            publisher = context.library.imports([read_source_facts("from quire.io import tracking_store")])
            wants[PUBLISH] = [name for name in publisher if name in own]
        return wants

    def _reach(self, stage: str) -> Reach:
        return reach_of(self._context.graph[stage], {}, self._context.library)


def cold_reason(reach: Reach, libraries: Libraries) -> str:
    """Return why a notebook must start in a process that has imported nothing yet; empty if it need not.

    In a forked one, variables that a cell sets would come too late for what is imported already, and a module of the
    project that is called as a library would not be found.
    """
    names = sorted({name for facts in reach.own for name in facts.sets if name == UNKNOWN or frozen({name: ""})})
    if names:
        variables = "variables whose names are computed" if UNKNOWN in names else ", ".join(names)
        return f"starts cold, since its code sets {variables}, which can act when a library is imported"
    clashes = sorted(top for top in reach.tops if libraries.hold(top) or top in sys.stdlib_module_names)
    return f"starts cold, since a module of the project is called {clashes[0]}, as a library is" if clashes else ""
