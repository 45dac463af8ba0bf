"""``quire serve``."""

import click


@click.command()
@click.argument("params", default="params/demo")
@click.option("--host", default=None, help="Address to listen on.  [default: serve.host of config.yaml, 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=None, help="Port.  [default: serve.port of config.yaml, 8000]"
)
@click.option("--workers", type=click.IntRange(1), default=None, help="Processes.  [default: serve.workers, 1]")
@click.option("--behind-proxy", is_flag=True, help="Believe a proxy on this machine who the client is.")
@click.option(
    "--new-key", metavar="NAME", default=None, help="Make an API key for NAME, print it and its hash, and end."
)
def serve(
    params: str, host: str | None, port: int | None, workers: int | None, behind_proxy: bool, new_key: str | None
) -> None:
    """Answer predictions of the champion over HTTP, with a page at /.

    On the loopback requests by other names than those of the loopback, --host and serve.hosts are refused. With
    --behind-proxy they are taken by any name unless serve.hosts names some; serve.proxies names proxies elsewhere.
    """
    if new_key is not None:
        _print_key(new_key)
        return
    from quire import config

    settings = config.load(params)
    serve_config = settings.config.serve
    host, port = host or serve_config.host, serve_config.port if port is None else port
    keys = settings.api_keys
    if not keys and host not in ("127.0.0.1", "localhost", "::1"):
        click.secho(
            f"Anybody who reaches {host}:{port} may ask for predictions: QUIRE_API_KEYS is not set.",
            fg="yellow",
            err=True,
        )
    click.echo(f"{settings.config.title or settings.name}: http://{host}:{port}/ (Ctrl-C ends it)", err=True)
    from quire.serve import server

    server.run(settings, host=host, port=port, workers=workers or serve_config.workers, behind_proxy=behind_proxy)


def _print_key(name: str) -> None:
    import hashlib
    import re
    import secrets

    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise click.BadParameter("a name has letters, digits, dots, hyphens and underscores", param_hint="--new-key")
    key = secrets.token_urlsafe(32)
    click.echo(f"Key, for {name} only: {key}")
    click.echo(f"Add to QUIRE_API_KEYS: {name}:{hashlib.sha256(key.encode()).hexdigest()}")
