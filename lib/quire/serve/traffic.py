"""Traffic for a running service: at a steady rate with delayed feedback, or as much as it takes (a load test)."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from quire.config import Schema, label
from quire.errors import ServiceError

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Traffic:
    """What was sent and how it was answered. statuses: answers by HTTP status, ``gone`` for a lost connection."""

    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    feedback: Counter[str] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list, repr=False)

    @property
    def answered(self) -> int:
        """Requests answered with 200."""
        return self.statuses["200"]

    @property
    def failed(self) -> int:
        """Requests that were not."""
        return sum(self.statuses.values()) - self.answered

    @property
    def per_second(self) -> float:
        """Requests answered with 200 per second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def latency_ms(self, quantile: float) -> float:
        """Return a quantile of the time to answer, in milliseconds; NaN without answers."""
        latencies = sorted(self.latencies)
        return 1000 * latencies[min(len(latencies) - 1, int(quantile * len(latencies)))] if latencies else float("nan")


class Connection:
    """One kept-alive HTTP/1.1 connection; a library would itself be the load at thousands of requests a second."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ServiceError(f"{url!r} is no address to send traffic to; write http://HOST:PORT.")
        self._host, self._port = parts.hostname, parts.port or 80
        self._head = f"Host: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self._head += f"X-API-Key: {key}\r\n" if key else ""
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer; raises OSError or IncompleteReadError if the connection is lost."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        assert self._reader is not None
        self._writer.write(f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return int(head[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        """Drop the connection; the next request makes a new one."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def bodies(frame: "pd.DataFrame", schema: Schema) -> list[tuple[bytes, Any]]:
    """Return for each row of a snapshot the body of a request, and what really happened (None if not known)."""
    import pandas as pd

    names = [name for name in dict.fromkeys([*schema.features, *schema.key]) if name in frame.columns]
    pairs = []
    for record in frame.to_dict("records"):
        row = {name: _plain(record[name], schema.columns[name].type) for name in names if not pd.isna(record[name])}
        actual = record.get(schema.target)
        is_known = actual is not None and not pd.isna(actual)
        target = (float(actual) if schema.task == "regression" else label(actual)) if is_known else None
        pairs.append((orjson.dumps(row), target))
    return pairs


async def load(
    url: str,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    path: str = "/predict",
    key: str = "",
    keep_ids: bool = False,
) -> Traffic:
    """Send requests over ``connections`` at a time, each one when the last was answered, for some seconds.

    keep_ids: remember the prediction ids that were answered, to look for them in the database.
    """
    traffic, stream = Traffic(), itertools.cycle(requests)
    until = time.perf_counter() + seconds
    started = time.perf_counter()
    await asyncio.gather(
        *(_send(Connection(url, key), stream, until, path, traffic, keep_ids) for _ in range(connections))
    )
    traffic.seconds = time.perf_counter() - started
    return traffic


async def _send(
    connection: Connection, given: Iterator[bytes], until: float, path: str, traffic: Traffic, keep_ids: bool
) -> None:
    while time.perf_counter() < until:
        answer = await _one(connection, path, next(given), traffic)
        if keep_ids and answer is not None:
            traffic.ids.append(orjson.loads(answer)["prediction_id"])
    connection.close()


async def _one(connection: Connection, path: str, body: bytes, traffic: Traffic) -> bytes | None:
    """Send one request; return the answer if it is 200."""
    started = time.perf_counter()
    try:
        status, answer = await connection.post(path, body)
    except (OSError, asyncio.IncompleteReadError):
        traffic.statuses["gone"] += 1
        connection.close()
        await asyncio.sleep(0.05)
        return None
    traffic.latencies.append(time.perf_counter() - started)
    traffic.statuses[str(status)] += 1
    return answer if status == 200 else None


async def simulate(
    url: str,
    rows: Iterable[tuple[bytes, Any]],
    *,
    per_second: float,
    delay_s: float,
    share: float,
    rng: random.Random,
    key: str = "",
    told: Callable[[Traffic], None] = lambda traffic: None,
) -> Traffic:
    """Send rows at random moments, on average ``per_second``, and what really happened later.

    delay_s: mean delay of feedback, exponentially distributed. share: of predictions that get feedback.
    told: called after each prediction.
    """
    traffic, started = Traffic(), time.perf_counter()
    idle = [Connection(url, key) for _ in range(64)]
    tasks: set[asyncio.Task[None]] = set()

    async def send(body: bytes, actual: Any) -> None:
        answer = await _with(idle, "/predict", body, traffic)
        told(traffic)
        if answer is None or actual is None or rng.random() >= share:
            return
        await asyncio.sleep(rng.expovariate(1 / delay_s) if delay_s else 0)
        record = {"prediction_id": orjson.loads(answer)["prediction_id"], "actual": actual}
        outcome = Traffic()
        await _with(idle, "/feedback", orjson.dumps(record), outcome)
        traffic.feedback.update(outcome.statuses)

    for body, actual in rows:
        task = asyncio.create_task(send(body, actual))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(rng.expovariate(per_second))
    await asyncio.gather(*tasks)
    for connection in idle:
        connection.close()
    traffic.seconds = time.perf_counter() - started
    return traffic


async def _with(idle: list[Connection], path: str, body: bytes, traffic: Traffic) -> bytes | None:
    while not idle:
        await asyncio.sleep(0.01)
    connection = idle.pop()
    try:
        return await _one(connection, path, body, traffic)
    finally:
        idle.append(connection)


def _plain(value: Any, kind: str) -> Any:
    if kind == "datetime":
        return value.isoformat()
    if kind in ("number", "integer"):
        return float(value)
    return label(value.item() if hasattr(value, "item") else value)
