"""``quire forget``."""

import click


@click.command()
@click.argument("key", required=False)
@click.option("--params", default="", help="Only of this use case.  [default: demo's database, all models]")
@click.option("--older-than", default="", metavar="90d", help="Delete all predictions older than this instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(key: str | None, params: str, older_than: str, yes: bool) -> None:
    """Delete the predictions of a row KEY, and their feedback, from the database.

    Several key columns are joined by |. Snapshots of past runs keep their rows until `quire clean` removes them.
    """
    from datetime import UTC, datetime

    from quire import config
    from quire.io import database

    if bool(key) == bool(older_than):
        raise click.UsageError("Say which KEY, or --older-than, and not both.")
    settings = config.load(params or "demo")
    model_name = settings.model_name if params else None
    scope = f"the row {key!r}" if key else f"what is older than {older_than}"
    store = database.open(settings.database_url)
    if not yes:
        click.confirm(f"Delete predictions and feedback of {scope} from {store.name}?", abort=True)
    if key:
        counts = store.forget(key, model_name=model_name)
    else:
        counts = store.prune(datetime.now(UTC) - config.duration(older_than), model_name=model_name)
    click.echo(f"Deleted {counts.predictions} predictions and {counts.feedback} feedback from {store.name}.")
    if key:
        click.echo("Snapshots of past runs may hold the row still: `quire clean` removes old runs.")
