"""``quire backfill``."""

import sys

import click

from quire import config


@click.command()
@click.argument("params", default="params/demo")
@click.option("--from", "start", required=True, metavar="DATE", help="The first date.")
@click.option("--to", "end", required=True, metavar="DATE", help="The last date.")
@click.option("--every", default="7d", show_default=True, metavar="LENGTH", help="From one date to the next.")
@click.option("--workflow", "-w", default="train", show_default=True, help="Which workflow of workflow.yaml.")
@click.option("--alias", default="backfill", show_default=True, help="Registry alias that is judged against and moved.")
@click.option("--param", "-p", "overrides", multiple=True, metavar="STAGE.NAME=VALUE", help="Set a parameter.")
@click.option("--jobs", "-j", default=1, show_default=True, metavar="N", help="Dates whose models are trained at once.")
@click.option("--cluster", default="", metavar="ADDRESS", help="Dask scheduler whose workers train them.")
@click.option("--fresh", is_flag=True, help="Run dates again that are done.")
@click.option("--quiet", "-q", is_flag=True, help="Print only errors.")
@click.option("--json", "as_json", is_flag=True, help="Print events as lines of JSON.")
def backfill(
    params: str,
    start: str,
    end: str,
    every: str,
    workflow: str,
    alias: str,
    overrides: tuple[str, ...],
    jobs: int,
    cluster: str,
    fresh: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run a workflow as of a series of dates, oldest first; each run sees only what was known then. Resumable.

    With `--workflow score` the model stays the one that was promoted last under the alias: train it by a backfill of
    one date, then watch it over the dates that follow.
    """
    from quire.flow import backfill as flow_backfill
    from quire.flow import progress
    from quire.flow.context import Request
    from quire.flow.parameters import parse_overrides

    settings = config.load(params)
    points = flow_backfill.dates(start, end, every)
    request = Request(params=params, workflow=workflow, overrides=parse_overrides(overrides), fresh=fresh)
    address = cluster or settings.config.cluster
    with progress.listener(quiet=quiet, as_json=as_json) as listen:
        results = list(flow_backfill.backfill(request, points, alias=alias, listen=listen, jobs=jobs, cluster=address))
    code = next((result.exit_code for result in results if result.exit_code), 0)
    for result in results:
        for text in result.failures:
            click.secho(text, fg="red", err=True)
    if code:
        last = results[-1].record["as_of"][:10]
        number = sum(point.isoformat()[:10] < last for point in points)
        click.secho(f"Stopped at {last}, {number} of {len(points)} dates done.", fg="red", err=True)
    page = flow_backfill.write_page(settings, points, workflow, every=every, alias=alias)
    if not quiet and not as_json:
        click.echo(f"{page}", err=True)
    sys.exit(code)
