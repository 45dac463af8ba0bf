"""``quire``: a group whose commands are imported when they are called, so that the help is there at once."""

import atexit
import errno
import gc
import importlib
import os
import sys
from typing import Any

import click

from quire import redaction
from quire.config import private
from quire.config.loopback import spare_loopback
from quire.errors import QuireError, near

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("quire.cli.run:run", "Run a workflow: only what changed, side by side, resumable."),
    "runs": ("quire.cli.runs:runs", "List the runs."),
    "show": ("quire.cli.runs:show", "Show one run: stages, times, why each ran."),
    "diff": ("quire.cli.runs:diff", "Compare two runs: parameters, metrics, times, artifacts."),
    "why": ("quire.cli.runs:why", "Say what changed for a stage since it last ran."),
    "fetch": ("quire.cli.fetch:fetch", "Bring a run back from the archive."),
    "publish": ("quire.cli.publish:publish", "Deliver what earlier runs still owe to MLflow, the archive and people."),
    "graph": ("quire.cli.graph:graph", "Print which stage runs after which."),
    "clean": ("quire.cli.clean:clean", "Remove old runs and what the cache no longer needs."),
    "backfill": ("quire.cli.backfill:backfill", "Run a workflow as of a series of dates."),
    "cluster": ("quire.cli.cluster:cluster", "A Dask cluster on this machine, to try out what several would do."),
    "init": ("quire.cli.init:init", "Make a params folder for data of your own."),
    "champion": ("quire.cli.models:champion", "Show the champion and the versions before it."),
    "promote": ("quire.cli.models:promote", "Make a model version the champion."),
    "rollback": ("quire.cli.models:rollback", "Go back to the champion before this one."),
    "doctor": ("quire.cli.doctor:doctor", "Check versions, folders, tracking, database and archive."),
    "serve": ("quire.cli.serve:serve", "Answer predictions over HTTP."),
    "simulate": ("quire.cli.simulate:simulate", "Send traffic with delayed feedback to a running service."),
    "feedback": ("quire.cli.feedback:feedback", "Keep what really happened, from a CSV file."),
    "dashboard": ("quire.cli.dashboard:dashboard", "Serve the monitoring dashboard."),
    "alerts": ("quire.cli.alerts:alerts", "List the alerts."),
    "mlflow": ("quire.cli.mlflow:mlflow", "Open MLflow's UI on this clone's tracking store."),
    "forget": ("quire.cli.forget:forget", "Delete all that is stored of a row key."),
}
"""Command name -> ("module:attribute", one line of help)."""

SHARED = ("init",)
"""Commands whose files are for the repository, and so for everybody who may read the clone."""


class LazyGroup(click.Group):
    """A group that imports a command's module when it is called; a QuireError is printed without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: D102
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: D102
        if cmd_name not in COMMANDS:
            ctx.fail(f"No command {cmd_name!r}.{near(cmd_name, COMMANDS)}")
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands and their lines of help without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: D102
        try:
            return super().invoke(ctx)
        except QuireError as error:
            click.secho(str(error), fg="red", err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            click.secho(f"{error}. Free some space, for example by `quire clean --keep 5`.", fg="red", err=True)
            sys.exit(QuireError.exit_code)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="quire", prog_name="quire")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Notebook-driven machine learning: run, judge, promote, predict, monitor."""
    spare_loopback()
    redaction.install()
    if ctx.invoked_subcommand not in SHARED:
        before = private.restrict()
        ctx.call_on_close(lambda: os.umask(before))
    atexit.register(gc.freeze)  # or the interpreter takes all modules apart before it ends: 0.2 s after a run
