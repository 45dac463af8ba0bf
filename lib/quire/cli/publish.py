"""``quire publish``: deliver what earlier runs still owe."""

import sys

import click

from quire import config
from quire.errors import Busy, ServiceError


@click.command()
@click.argument("run_id", metavar="[RUN]", default="")
def publish(run_id: str) -> None:
    """Deliver what earlier runs still owe: their record to MLflow, figures, alerts, and their files to the archive.

    A run is published when it ends. If a server does not answer then, or the process is killed, what is missing is
    noted in outputs/.owed, and the next `quire run` delivers it. This command does so now, for all runs or only for
    RUN: an id, which may be shortened, or `latest`. What arrived is not sent again, except where the process was
    killed in the instant before it noted that. A run that is under way is left alone.

    Prints a line for each run and part. Ends with code 7 if something could not be delivered; it stays owed then.
    """
    from quire.flow import delivery, history
    from quire.flow.lock import runs_under_way

    root = config.find_root()
    outputs = config.outputs_folder(root)
    full_id = history.find(outputs, run_id).name if run_id else ""
    if full_id and full_id in runs_under_way(outputs):
        raise Busy(f"Run {full_id} is under way; it is published when it ends.")
    failures = delivery.Failures()
    missing = delivered = 0
    for deliver in (delivery.publish_others, delivery.send_alerts):
        for outcome in deliver(root, outputs, failures, only=full_id):
            missing, delivered = missing + bool(outcome.message), delivered + (not outcome.message)
            colour = "red" if outcome.message else "green"
            click.secho(f"{outcome.run_id}  {outcome.part:<16}  {outcome.message or 'delivered'}", fg=colour)
    if missing:
        click.echo(f"{delivered} delivered; {missing} not, and still owed: mend what is named, and do this again.")
        sys.exit(ServiceError.exit_code)
    click.echo(f"{delivered} delivered." if delivered else "Nothing is owed.")
