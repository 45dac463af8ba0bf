"""``quire alerts``: what was alerted, and who took note."""

import getpass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from quire.config import Settings
    from quire.io.database import Database


class ParamsGroup(click.Group):
    """A group whose first argument may be a use case, such as params/demo, as for all other commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:  # noqa: D102
        takes_value = {name for option in self.params for name in option.opts if not getattr(option, "is_flag", False)}
        for position, argument in enumerate(args):
            is_value = position > 0 and args[position - 1] in takes_value
            if argument.startswith("-") or is_value:
                continue
            if argument not in self.commands and "--params" not in args:
                args = [*args[:position], "--params", *args[position:]]
            break
        return super().parse_args(ctx, args)


@click.group(cls=ParamsGroup, invoke_without_command=True, subcommand_metavar="[PARAMS] [COMMAND [ARGS]...]")
@click.option("--params", default="", help="Only of this use case; by default of all in the same database.")
@click.option("--all", "everything", is_flag=True, help="Also those that somebody acknowledged.")
@click.option("--limit", default=20, show_default=True, help="How many, the newest first.")
@click.pass_context
def alerts(context: click.Context, params: str, everything: bool, limit: int) -> None:
    """List the open alerts, the newest first; `quire alerts ack ID` closes one."""
    if context.invoked_subcommand is not None:
        return
    settings, store = _open(params or "demo")
    try:
        rows = store.alerts(settings.model_name if params else None, only_open=not everything, limit=limit)
    finally:
        store.close()
    if rows.empty:
        click.echo("No alert." if everything else "No open alert; --all lists the acknowledged ones too.")
        return
    for row in rows.itertuples():
        closed = f"  (acknowledged by {row.acknowledged_by})" if isinstance(row.acknowledged_by, str) else ""
        click.secho(f"{row.id:>5}  {row.at:%Y-%m-%d %H:%M}  {row.severity:8}  {row.model_name}", bold=True, nl=False)
        click.echo(f"  {row.title}{closed}")
        if row.link:
            click.echo(f"       {row.link}")


@alerts.command()
@click.argument("alert_ids", type=int, nargs=-1, required=True)
@click.option("--params", default="demo", help="A use case whose database holds the alerts.")
@click.option("--by", default="", help="Who takes note; by default the user who is logged in.")
def ack(alert_ids: tuple[int, ...], params: str, by: str) -> None:
    """Acknowledge alerts by their numbers."""
    _, store = _open(params)
    try:
        results = {number: store.acknowledge(number, by=by or getpass.getuser()) for number in alert_ids}
    finally:
        store.close()
    for number, is_open in results.items():
        click.echo(f"{number}: acknowledged" if is_open else f"{number}: there is no open alert with this number")
    if not all(results.values()):
        raise SystemExit(1)


@alerts.command()
@click.argument("params", default="params/demo")
@click.option("--email", "emails", multiple=True, metavar="ADDRESS", help="Who gets the alerts; may be repeated.")
@click.option("--workflow", default="score", show_default=True, help="Whose failing and missing is watched.")
@click.option(
    "--overdue-days", default=7, show_default=True, help="Days without a success that are too many; at most 7."
)
def setup(params: str, emails: tuple[str, ...], workflow: str, overdue_days: int) -> None:
    """Make topic, subscriptions and alarms on AWS, where Terraform is not used; doing it again changes nothing."""
    from quire import config
    from quire.io import alarms

    settings = config.load(params)
    resources = alarms.make(settings, emails=emails, workflow=workflow, overdue_days=overdue_days)
    click.echo(f"Topic:  {resources.topic}")
    click.echo(f"Mailed: {', '.join(resources.subscribers) or 'nobody; --email ADDRESS subscribes somebody'}")
    click.echo("Alarms: " + ", ".join(resources.alarms))
    channels = {"sns", "cloudwatch"} - set(settings.config.alerts.channels)
    if channels or settings.config.alerts.sns_topic != resources.topic:
        click.echo(f"Write into {settings.folder}/config.yaml:")
        click.echo(f"  alerts: {{channels: [log, sns, cloudwatch], sns_topic: {resources.topic!r}}}")


@alerts.command()
@click.argument("params", default="params/demo")
def test(params: str) -> None:
    """Send one alert on every channel of PARAMS and say what became of it."""
    from quire import config
    from quire.io import notify

    settings = config.load(params)
    alert = notify.Alert("test", "This is a test: alerts arrive.", severity="info")
    deliveries = notify.send(alert, settings)
    for delivery in deliveries:
        click.echo(f"{delivery.channel:10}  {delivery.status}  {delivery.detail}".rstrip())
    if any(delivery.status == "failed" for delivery in deliveries):
        raise SystemExit(7)


def _open(params: str) -> "tuple[Settings, Database]":
    from quire import config
    from quire.io import database

    settings = config.load(params)
    return settings, database.open(settings.database_url)
