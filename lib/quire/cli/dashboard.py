"""``quire dashboard``: the monitoring pages in a browser."""

import os
import secrets
from contextlib import ExitStack

import click

LOOPBACK = ("127.0.0.1", "::1", "localhost")

IMPORTS = (
    "pandas",
    "pyarrow.parquet",
    "matplotlib.pyplot",
    "seaborn",
    "scipy.special",
    "ipywidgets",
    "pydantic",
    "sqlalchemy",
)
"""What the kernels of the live page import, in a process from which they are forked: half of their time otherwise."""


@click.command()
@click.argument("params", default="demo")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8866, show_default=True, help="Port to listen on.")
@click.option("--live/--no-live", default=True, help="Whether /live, with menus, is there too.")
@click.option("--viewers", default=10, show_default=True, help="How many may watch /live at once.")
@click.option("--behind-proxy", is_flag=True, help="A reverse proxy in front asks who it is: no token is needed.")
def dashboard(params: str, host: str, port: int, live: bool, viewers: int, behind_proxy: bool) -> None:
    """Serve the monitoring page of the latest run of PARAMS, the earlier ones, and a live one at /live.

    On the loopback anybody on this machine may look. On any other address a token is needed: that of
    QUIRE_DASHBOARD_TOKEN, else one that is made and printed.
    """
    import uvicorn

    from quire import config
    from quire.flow.fork_server import warm_kernels
    from quire.monitor.dashboard import make_app
    from quire.monitor.live import Live
    from quire.monitor.run_pages import RunPages
    from quire.serve.limits import server_options, trusting
    from quire.serve.sites import LOOPBACK_ADDRESSES, SiteCheck, sites_of

    settings = config.load(params)
    new_token = ""
    if not settings.dashboard_token and host not in LOOPBACK and not behind_proxy:
        new_token = secrets.token_urlsafe(24)
    with ExitStack() as stack:
        live_page = None
        if live:
            environment = {**os.environ, "QUIRE_ROOT": str(settings.root), "QUIRE_OUTPUTS": str(settings.outputs)}
            environment |= {"PYTHONWARNINGS": "ignore"}  # what viewers see is no place for them
            environment |= stack.enter_context(warm_kernels(IMPORTS, environment))
            notebook = settings.root / "notebooks" / f"{settings.workflow.stages['monitor'].notebook}.ipynb"
            live_page = Live(notebook, settings.name, settings.root / "dashboards", environment, viewers)
        app = make_app(
            RunPages(settings.outputs, settings.name),
            title=settings.config.title or settings.name,
            token=settings.dashboard_token or new_token,
            live=live_page,
        )
        # What is printed goes to logs: one that was set is known to whoever set it.
        address = f"http://{host}:{port}/" + (f"?token={new_token}" if new_token else "")
        click.echo(f"The dashboard of {settings.name} is at {address}")
        serve = settings.config.serve
        sites = sites_of(host, serve.hosts, (), behind_proxy=behind_proxy)
        proxies = (*serve.proxies, *LOOPBACK_ADDRESSES) if behind_proxy else ()
        app = trusting(SiteCheck(app, sites), proxies)
        uvicorn.run(app, host=host, port=port, log_level="warning", **server_options(serve.max_connections))
