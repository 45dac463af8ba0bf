"""``quire simulate``."""

import itertools

import click


@click.command()
@click.argument("params", default="params/demo")
@click.option("--url", default="", help="The service.  [default: serve.host and serve.port of config.yaml]")
@click.option(
    "--rate", default=5.0, show_default=True, type=click.FloatRange(min=0, min_open=True), help="Requests per second."
)
@click.option("--seconds", default=60.0, show_default=True, help="How long to send.")
@click.option("--delay", default=10.0, show_default=True, help="Mean delay of feedback in seconds.")
@click.option(
    "--feedback", default=0.8, show_default=True, type=click.FloatRange(0, 1), help="Share that gets feedback."
)
@click.option("--load", is_flag=True, help="Send as much as it takes instead, without feedback.")
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1), help="With --load: at a time.")
@click.option("--key", default="", envvar="QUIRE_API_KEY", help="API key.  [env: QUIRE_API_KEY]")
@click.option("--seed", default=0, show_default=True, help="Of the random moments.")
def simulate(
    params: str,
    url: str,
    rate: float,
    seconds: float,
    delay: float,
    feedback: float,
    load: bool,
    connections: int,
    key: str,
    seed: int,
) -> None:
    """Send the last run's test rows to a running service, and later what really happened; or test its load."""
    import asyncio
    import random

    from quire import artifacts, config
    from quire.errors import ServiceError
    from quire.serve import traffic

    settings = config.load(params)
    serve = settings.config.serve
    url = url or f"http://{serve.host}:{serve.port}"
    rows = traffic.bodies(artifacts.open(settings).load("test"), settings.schema)
    rng = random.Random(seed)
    rng.shuffle(rows)
    if load:
        bodies = [body for body, _ in rows]
        result = asyncio.run(traffic.load(url, bodies, connections=connections, seconds=seconds, key=key))
    else:
        sample = itertools.islice(itertools.cycle(rows), max(1, round(rate * seconds)))
        result = asyncio.run(
            traffic.simulate(url, sample, per_second=rate, delay_s=delay, share=feedback, rng=rng, key=key)
        )
    answers = ", ".join(f"{count} {status}" for status, count in sorted(result.statuses.items()))
    click.echo(f"{result.per_second:,.1f} predictions/s over {result.seconds:.1f} s; answers: {answers or 'none'}")
    percentiles = ", ".join(
        f"{name} {result.latency_ms(at):.1f} ms" for name, at in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    )
    click.echo(f"Time to answer: {percentiles}")
    if result.feedback:
        click.echo("Feedback: " + ", ".join(f"{count} {status}" for status, count in sorted(result.feedback.items())))
    if not result.answered:
        raise ServiceError(
            f"No prediction was answered by {url}. Is `quire serve {params}` running? Its log says more."
        )
