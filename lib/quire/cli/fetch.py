"""``quire fetch``: bring a run back from the archive."""

import click

from quire import config
from quire.errors import ConfigError


@click.command()
@click.argument("run_id", metavar="RUN", required=False)
@click.argument("params", default="params/demo")
@click.option(
    "--only", multiple=True, metavar="PATH", help="Only what is below this path of the run, such as reports/."
)
@click.option("--list", "listing", is_flag=True, help="List the runs in the archive instead.")
@click.option(
    "--stores", is_flag=True, help="Also the tracking store and the database, where they are mirrored and not here."
)
def fetch(run_id: str | None, params: str, only: tuple[str, ...], listing: bool, stores: bool) -> None:
    """Bring RUN, or the newest run, back from the archive of PARAMS into outputs/runs/; what is here is not sent again.

    RUN may also be ``latest``. The archive is that of config.yaml. With --stores a new machine knows the champion, and
    can serve it, before its first run.
    """
    from quire.io import archive, mirror

    settings = config.load(params)
    remote = archive.open(settings)
    if remote is None:
        raise ConfigError(
            f"{settings.folder}/config.yaml names no archive. Set QUIRE_ARCHIVE where it refers to that, "
            "or write archive: {url: s3://bucket/prefix} there."
        )
    runs = remote.runs()
    if listing:
        for name in runs:
            click.echo(name)
        return
    if run_id in (None, "latest"):
        if not runs:
            raise ConfigError(f"The archive {remote.store.url()} holds no run yet.")
        run_id = runs[-1]
    folder = remote.fetch_run(str(run_id), below=only or ("",))
    click.echo(f"{folder}")
    mirrored = mirror.open(settings) if stores else None
    for name in mirrored.bring() if mirrored else ():
        click.echo(f"{settings.outputs / name}")
