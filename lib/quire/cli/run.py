"""``quire run``."""

import sys
from typing import TYPE_CHECKING

import click

from quire import config
from quire.errors import ConfigError

if TYPE_CHECKING:
    from quire.flow.context import Listener, Request
    from quire.flow.run import Result


@click.command()
@click.argument("params", default="params/demo")
@click.option("--workflow", "-w", default="train", show_default=True, help="Which workflow of workflow.yaml.")
@click.option(
    "--param", "-p", "overrides", multiple=True, metavar="STAGE.NAME=VALUE", help="Set a notebook's parameter."
)
@click.option("--as-of", default="", metavar="DATE", help="Logical time of the run; data from then on is not seen.")
@click.option("--stages", default="", metavar="A,B", help="Bring only these up to date, with what they need.")
@click.option("--fresh", is_flag=True, help="Run every stage, also those that did not change.")
@click.option("--jobs", "-j", default=0, metavar="N", help="Stages side by side; default: the cores.")
@click.option("--cluster", default="", metavar="ADDRESS", help="Dask scheduler whose workers run what they can.")
@click.option("--cold", is_flag=True, help="Start every kernel anew instead of forking it from a warm process.")
@click.option("--wait", default=0.0, metavar="SECONDS", help="Wait for another run of the same params; -1: for ever.")
@click.option(
    "--try", "trial", default=None, metavar="NOTE",
    help="An experiment: logged to MLflow and archived with this note, but no alias moves, nothing is written to the "
    "database, and nobody is alerted. It is never the latest run that others go by; `quire promote --run` makes its "
    "model champion.",
)  # fmt: skip
@click.option(
    "--no-publish", is_flag=True,
    help="Write to outputs/runs alone: leave MLflow, the registry, the database, the archive and alerts as they are.",
)  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Print only errors.")
@click.option("--json", "as_json", is_flag=True, help="Print events as lines of JSON.")
def run(
    params: str,
    workflow: str,
    overrides: tuple[str, ...],
    as_of: str,
    stages: str,
    fresh: bool,
    jobs: int,
    cluster: str,
    cold: bool,
    wait: float,
    trial: str | None,
    no_publish: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run a workflow of params/NAME: only what changed, side by side, resumable."""
    from quire.flow.fork_server import ForkServerPool, is_possible

    note = _note(trial, no_publish=no_publish)
    with ForkServerPool() as fork_servers:
        if fresh and not (cold or cluster) and is_possible():
            fork_servers.server()  # kernels will be needed for certain: it imports while the runner does
        from quire.flow import progress
        from quire.flow.context import Drivers, Request
        from quire.flow.parameters import parse_overrides
        from quire.flow.reactions import run_and_react

        request = Request(
            params=params,
            workflow=workflow,
            stages=tuple(name.strip() for name in stages.split(",") if name.strip()),
            overrides=parse_overrides(overrides),
            as_of=as_of,
            fresh=fresh,
            jobs=jobs,
            wait_s=wait,
            cold=cold,
            publish=not no_publish,
            trial=note,
        )
        address = cluster or config.load(params).config.cluster
        with progress.listener(quiet=quiet, as_json=as_json) as listen:
            if address:
                results = _on_cluster(request, address, listen)
            else:
                results = list(run_and_react(request, listen=listen, drivers=Drivers(fork_servers=fork_servers)))
    if not (quiet or as_json):
        progress.print_findings(results[-1].folder, results[-1].record)
        if results[-1].record["status"] == "interrupted":
            command = "the same command without --fresh" if fresh else "the same command"
            click.secho(f"Interrupted. What ended is kept; {command} goes on from there.", fg="yellow", err=True)
    for result in results:
        for text in result.failures:
            click.secho(text, fg="red", err=True)
    sys.exit(next((result.exit_code for result in results if result.exit_code), 0))


def _note(trial: str | None, *, no_publish: bool) -> str:
    """Return what an experiment tries, on one line; raises ConfigError for none, and beside --no-publish."""
    note = " ".join((trial or "").split())
    if trial is not None and not note:
        raise ConfigError('--try needs a few words that say what you try: --try "fewer trees".')
    if note and no_publish:
        raise ConfigError("--try logs to MLflow, --no-publish does not: leave out one of them.")
    return note


def _on_cluster(request: "Request", address: str, listen: "Listener") -> "list[Result]":
    """Run with the stages that read no outside state on the workers of a Dask cluster."""
    from dataclasses import replace

    from quire.flow import cluster
    from quire.flow.reactions import run_and_react

    settings = config.load(request.params)
    with cluster.dask(settings, address, listen) as force:
        spread = cluster.DistributedStages(settings, request, force)
        request = replace(request, jobs=request.jobs or force.size)
        return list(run_and_react(request, listen=spread.heard(listen), drivers=spread.drivers))
