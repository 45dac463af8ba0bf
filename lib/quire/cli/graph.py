"""``quire graph``."""

from pathlib import Path

import click

from quire import config


@click.command()
@click.argument("params", default="params/demo")
@click.option("--workflow", "-w", default="train", show_default=True, help="Which workflow of workflow.yaml.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture to this file instead.")
def graph(params: str, workflow: str, svg: Path | None) -> None:
    """Print which stage runs after which."""
    from quire.flow.graph import as_text, build
    from quire.flow.graph_svg import draw
    from quire.flow.record import write_whole

    built = build(config.load(params), workflow)
    if svg:
        write_whole(svg, draw(built))
        click.echo(str(svg))
    else:
        click.echo(as_text(built))
