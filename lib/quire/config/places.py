"""config.yaml: where things are."""

from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from quire.config.units import Moment
from quire.config.yaml import Entity


class Fault(Entity):
    """Something that goes wrong, or changes, in the simulated data from a date on."""

    kind: Literal["sensor_bias", "unit_change", "missing_block", "new_category", "demand_shift"]
    at: Moment
    until: Moment | None = None
    column: str | None = None
    size: float | None = None


class DemoSource(Entity):
    """The simulator of hourly bike rentals."""

    kind: Literal["demo"]
    start: Moment = "2023-01-01"
    hours: int = Field(default=17_520, ge=1)
    seed: int = 0
    faults: tuple[Fault, ...] = ()


class Delimited(Entity):
    r"""How the lines of a text file hold a table.

    separator: between the fields of a line; ``\\s+`` stands for any number of spaces and tabs. skip_rows: lines above
    the one with the columns' names. header: whether there is such a line; without, the columns are called column_1,
    column_2 and so on.
    """

    separator: str = Field(default=",", min_length=1)
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    skip_rows: int = Field(default=0, ge=0)
    header: bool = True


class CsvSource(Delimited):
    """CSV: a file, a folder or a glob; also compressed (gzip, bzip2, xz, zip)."""

    kind: Literal["csv"]
    path: str


class JsonSource(Entity):
    """JSON: a file, a folder or a glob; a list of objects, an object of columns, or an object per line."""

    kind: Literal["json"]
    path: str


class ParquetSource(Entity):
    """Parquet: a file, a folder or a glob."""

    kind: Literal["parquet"]
    path: str


class SqlSource(Entity):
    """A query on a database that SQLAlchemy reaches."""

    kind: Literal["sql"]
    url: SecretStr
    query: str


class HttpSource(Delimited):
    """A file behind http or https."""

    kind: Literal["http"]
    url: SecretStr
    format: Literal["csv", "parquet", "json"] = "csv"
    sha256: str | None = None


class S3Source(Delimited):
    """An object, or all objects below a prefix, of an S3 bucket."""

    kind: Literal["s3"]
    url: str = Field(pattern=r"^s3://[^/]+/.+")
    format: Literal["csv", "parquet", "json"] = "parquet"
    endpoint_url: SecretStr | None = None


Source = Annotated[
    DemoSource | CsvSource | ParquetSource | JsonSource | SqlSource | HttpSource | S3Source,
    Field(discriminator="kind"),
]


class Tracking(Entity):
    """MLflow: the experiment, the name in the registry, and the server (default: SQLite and files in outputs/)."""

    uri: SecretStr = SecretStr("")
    experiment: str = ""
    model: str = ""


class ArchivePlace(Entity):
    """Where runs are mirrored to, such as s3://bucket/prefix; empty for nowhere."""

    url: str = Field(default="", pattern=r"^(s3://[^/]+.*)?$")
    endpoint_url: SecretStr | None = None
    keep_days: int | None = Field(default=None, ge=1)


def _words(value: Any) -> Any:
    """Return a text's words, or a list's items, as a tuple: a reference to the environment can only give a text."""
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    return tuple(value) if isinstance(value, list) else value


def _checked_network(text: str) -> str:
    ip_network(text, strict=False)
    return text


_Network = Annotated[str, AfterValidator(_checked_network)]


class Alerts(Entity):
    """Channels that alerts go to, and how long one cause stays quiet after it alerted.

    channels: a list, or a text such as ``log, sns, cloudwatch``.
    """

    channels: Annotated[tuple[Literal["log", "sns", "cloudwatch", "webhook"], ...], BeforeValidator(_words)] = ("log",)
    cool_down_hours: float = Field(default=24.0, ge=0)
    report_only: bool = False
    sns_topic: str = ""
    webhook: SecretStr = SecretStr("")
    namespace: str = "Quire"
    endpoint_url: SecretStr | None = None


class Serve(Entity):
    """The prediction service: its address, its limits, and how safely it logs.

    durability: ``commit`` answers a prediction when it is in the database, ``fast`` before that, so that a crash can
    lose the last ones. queue_rows: rows that may wait for the database before requests are refused. rate_limit:
    requests per second of a holder of a key, else of an address, 0 for no limit; rate_burst: requests that may come at
    once. max_connections: of each process, fewer where it may open few files. keep_days: how long predictions are kept,
    None for ever. hosts: names by which service and dashboard are reached, besides those of the loopback; a request by
    another name is refused (on other addresses than the loopback: where this is not empty). proxies: addresses and
    networks of the proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8. cors_origins: sites whose pages may
    use the service.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    workers: int = Field(default=1, ge=1, le=256)
    durability: Literal["commit", "fast"] = "commit"
    queue_rows: int = Field(default=10_000, ge=1)
    log_timeout_s: float = Field(default=5.0, gt=0)
    cache_rows: int = Field(default=10_000, ge=0)
    max_rows: int = Field(default=1_000, ge=1)
    max_body_bytes: int = Field(default=1_048_576, ge=1_024)
    rate_limit: float = Field(default=10_000.0, ge=0)
    rate_burst: int = Field(default=10_000, ge=1)
    max_connections: int = Field(default=1_000, ge=1)
    hosts: Annotated[tuple[str, ...], BeforeValidator(_words)] = ()
    proxies: Annotated[tuple[_Network, ...], BeforeValidator(_words)] = ()
    refresh_s: float = Field(default=5.0, gt=0)
    shadow: str = "challenger"
    keep_days: int | None = Field(default=None, ge=1)
    cors_origins: tuple[str, ...] = ()
    api_keys: SecretStr = SecretStr("")
    grace_s: int = Field(default=20, ge=1)
    access_log: bool = True


class Config(Entity):
    """Where a use case reads from and writes to.

    cluster: the address of a Dask scheduler, such as tcp://10.0.0.5:8786, whose workers run what they can of a run.
    memory_rows: of a frame with more rows a notebook loads a sample of about as many; what counts every row (ingest,
    validate, profile, predict) takes it a chunk at a time.
    """

    title: str = ""
    description: str = ""
    source: Source
    as_of: Moment | None = None
    cluster: str = ""
    memory_rows: int = Field(default=2_000_000, ge=1)
    tracking: Tracking = Tracking()
    database: SecretStr = SecretStr("")
    archive: ArchivePlace = ArchivePlace()
    alerts: Alerts = Alerts()
    serve: Serve = Serve()
