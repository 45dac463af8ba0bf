"""``quire cluster``: a Dask cluster on this machine, to try out what several would do."""

import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import click


@click.group()
def cluster() -> None:
    """A Dask cluster whose workers run stages: `quire run --cluster ADDRESS`, `quire backfill --cluster ADDRESS`."""


@cluster.command()
@click.option("--workers", "-n", default=2, show_default=True, help="Processes, each with a folder of its own.")
def local(workers: int) -> None:
    """Start a cluster on this machine, print its address, and end it with Ctrl-C.

    The workers share no disk with the runner: config.yaml needs an archive.
    """
    from quire.flow import cluster as flow_cluster

    with (
        tempfile.TemporaryDirectory(prefix="quire-cluster-") as folder,
        flow_cluster.local(workers, Path(folder)) as running,
    ):
        click.echo(f"{running.scheduler_address}  ({workers} workers; Ctrl-C ends them)")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
