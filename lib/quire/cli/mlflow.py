"""``quire mlflow``: the tracking UI on the store that runs write to."""

import subprocess
import sys

import click

from quire import config
from quire.errors import ServiceError


@click.command()
@click.argument("params", default="params/demo")
@click.option("--port", default=5000, show_default=True, help="Port on this machine.")
def mlflow(params: str, port: int) -> None:
    """Open MLflow's UI on the tracking store of PARAMS.

    Shows parameters, metrics, models and their versions. Binds to this machine only; Ctrl-C ends it.
    """
    settings = config.load(params)
    if settings.tracking_uri.startswith("http"):
        click.echo(f"The tracking server has its own page: {settings.tracking_uri}")
        return
    click.echo(f"MLflow: http://127.0.0.1:{port}  (Ctrl-C ends it)")
    store = ["--backend-store-uri", settings.tracking_uri, "--host", "127.0.0.1", "--port", str(port)]
    try:
        process = subprocess.run([sys.executable, "-m", "mlflow", "ui", *store], check=False)
    except KeyboardInterrupt:
        return
    if process.returncode not in (0, -2, 130):
        raise ServiceError(f"MLflow's UI ended with code {process.returncode}; is port {port} taken? Try --port.")
