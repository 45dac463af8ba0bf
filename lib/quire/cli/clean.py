"""``quire clean``."""

from pathlib import Path

import click

from quire import config


@click.command()
@click.argument("params", default="")
@click.option("--keep", default=10, show_default=True, type=click.IntRange(min=0), help="Newest runs to keep of each.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def clean(params: str, keep: int, dry_run: bool) -> None:
    """Remove old runs, and from the cache what they held. Registered models, predictions and alerts stay.

    Of every params folder, or only of PARAMS, the newest runs stay, and always the newest that succeeded.
    """
    from quire.flow.retention import remove_old_runs

    outputs = config.outputs_folder(config.find_root())
    run_ids = remove_old_runs(outputs, keep=keep, params=Path(params).name if params else "", dry_run=dry_run)
    for run_id in run_ids:
        click.echo(f"{'would remove' if dry_run else 'removed'} {run_id}")
    click.echo(f"{len(run_ids)} runs {'would go' if dry_run else 'removed'}.")
