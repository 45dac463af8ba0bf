"""Find the project, and read a use case: the four files of params/NAME."""

import getpass
import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from quire.config import private
from quire.config.params import ENTITIES, Params
from quire.config.places import Config
from quire.config.schema import Schema
from quire.config.workflow import Workflow
from quire.config.yaml import REFERENCE, Document, read_document
from quire.errors import ConfigError, near
from quire.redaction import learn

SECRET_VARIABLES = (
    "QUIRE_DATABASE_URL",
    "QUIRE_API_KEY",
    "QUIRE_API_KEYS",
    "QUIRE_DASHBOARD_TOKEN",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "PGPASSWORD",
    "PREFECT_API_KEY",
)
"""Variables of the environment that hold a secret, or an address with one, without being named in config.yaml."""

_SECRET_PATHS = ("webhook",)
"""Settings that are addresses whose very path is the secret."""

USER_VARIABLES = (
    "QUIRE_USER",
    "GITHUB_ACTOR",
    "GITLAB_USER_LOGIN",
    "BUILD_REQUESTEDFOR",
    "BUILD_USER_ID",
    "MLFLOW_TRACKING_USERNAME",
)
"""Environment variables that name a person or a service, the first that is set: Quire's, those of CI, MLflow's."""


@dataclass(frozen=True)
class Settings:
    """A use case: where (config), what (schema), how (params), and in which order (workflow)."""

    name: str
    root: Path
    config: Config
    schema: Schema
    params: Params
    workflow: Workflow
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def folder(self) -> Path:
        """params/NAME."""
        return self.root / "params" / self.name

    @property
    def outputs(self) -> Path:
        """Where runs, the tracking store and the database are: outputs/, or ``QUIRE_OUTPUTS``."""
        return outputs_folder(self.root)

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database: config.yaml, else ``QUIRE_DATABASE_URL``, else SQLite in outputs/.

        It holds a password where the configured one does.
        """
        configured = self.config.database.get_secret_value() or os.environ.get("QUIRE_DATABASE_URL", "")
        return configured or f"sqlite:///{self.outputs / 'quire.db'}"

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI: config.yaml, else ``MLFLOW_TRACKING_URI``, else SQLite in outputs/."""
        configured = self.config.tracking.uri.get_secret_value() or os.environ.get("MLFLOW_TRACKING_URI", "")
        return configured or f"sqlite:///{self.outputs / 'mlflow.db'}"

    @property
    def model_name(self) -> str:
        """The model's name in the registry."""
        return self.config.tracking.model or self.name

    @property
    def experiment(self) -> str:
        """The MLflow experiment's name."""
        return self.config.tracking.experiment or self.name

    @property
    def api_keys(self) -> dict[str, str]:
        """Name -> SHA-256 of the keys that the service takes: config.yaml, else ``QUIRE_API_KEYS``; none: no key.

        Written as ``name:hash``, separated by commas or spaces; raises ConfigError for what is not a hash.
        """
        text = self.config.serve.api_keys.get_secret_value() or os.environ.get("QUIRE_API_KEYS", "")
        hashes = {}
        for position, entry in enumerate(re.split(r"[,\s]+", text.strip()) if text.strip() else []):
            name, _, digest = entry.rpartition(":")
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ConfigError(
                    f"QUIRE_API_KEYS: entry {position + 1} is not NAME:HASH with 64 hexadecimal digits. "
                    "`quire serve --new-key NAME` makes a key and its hash."
                )
            hashes[name or f"key{position + 1}"] = digest
        return hashes

    @property
    def alias(self) -> str:
        """The registry alias that this run judges against and may move: ``QUIRE_ALIAS``, else ``champion``."""
        return os.environ.get("QUIRE_ALIAS") or "champion"

    @property
    def cluster(self) -> str:
        """Address of the Dask scheduler whose workers share in a search: ``QUIRE_CLUSTER``; empty: this process alone.

        The runner sets it for the stages of a run with a cluster.
        """
        return os.environ.get("QUIRE_CLUSTER", "")

    @property
    def run_token(self) -> str:
        """What proves to a kernel that the runner started it (``QUIRE_RUN_TOKEN``); empty by hand."""
        return os.environ.get("QUIRE_RUN_TOKEN", "")

    @property
    def user(self) -> str:
        """Who is at work, for the history: ``QUIRE_USER``, who started the CI job, or MLflow's user, else the login."""
        return next((name for variable in USER_VARIABLES if (name := os.environ.get(variable))), "") or _login()

    @property
    def commit(self) -> str:
        """Of which commit the code is where there is no git, as in an image: ``QUIRE_COMMIT``; empty if not said."""
        return os.environ.get("QUIRE_COMMIT", "")

    @property
    def dashboard_token(self) -> str:
        """What a viewer of the dashboard must bring: ``QUIRE_DASHBOARD_TOKEN``; empty for none."""
        return os.environ.get("QUIRE_DASHBOARD_TOKEN", "")

    @property
    def live(self) -> bool:
        """Whether a notebook runs under the dashboard (``QUIRE_LIVE``): it then shows what the run kept."""
        return bool(os.environ.get("QUIRE_LIVE"))

    def digest(self, *files: str) -> str:
        """Return the SHA-256 of what ``files`` ("config", ...) say, references not expanded, comments aside."""
        text = json.dumps({name: self.raw[name] for name in files}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _login() -> str:
    """Return the login name, or, where this machine does not know one, the number of the user."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def find_root(start: Path | None = None) -> Path:
    """Return the project's folder: ``QUIRE_ROOT``, else the nearest above ``start`` that has params/workflow.yaml.

    ``start`` is the working directory by default; failing that, the clone that an editable install points to.
    """
    configured = os.environ.get("QUIRE_ROOT")
    if configured:
        return Path(configured).resolve()
    start_folder = (start or Path.cwd()).resolve()
    for folder in (start_folder, *start_folder.parents, *Path(__file__).resolve().parents):
        if (folder / "params" / "workflow.yaml").is_file():
            return folder
    raise ConfigError(
        f"No Quire project at {start_folder} or above it: expected params/workflow.yaml. Change into your clone."
    )


def outputs_folder(root: Path) -> Path:
    """Return ``QUIRE_OUTPUTS``, else outputs/ below ``root``."""
    return Path(os.environ.get("QUIRE_OUTPUTS") or root / "outputs").resolve()


_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")


def folder_problem(root: Path, outputs: Path) -> str:
    """Return what is wrong with the names of the folders for the tools that work in them, or an empty text.

    Spaces, quotes, letters of any language and most signs are well. SQLAlchemy and MLflow take addresses, in which a
    question mark begins the query and %20 is a space; Alembic cannot be in a folder with a per cent sign; a colon
    parts the folders of a search path.
    """
    escape = _PERCENT.search(str(outputs))
    problems = [(sign, root) for sign in (":", "\n") if sign in str(root)]
    problems += [(sign, outputs) for sign in ("?", "\n", escape.group() if escape else "?") if sign in str(outputs)]
    problems += [("%", Path(sys.prefix))] if "%" in sys.prefix else []
    if not problems:
        return ""
    sign, folder = problems[0]
    remedy = "Set QUIRE_OUTPUTS to another folder, or rename it." if folder == outputs else "Rename the folder."
    return f"The path {str(folder)!r} holds {sign!r}, which the tools that work there read as something else. {remedy}"


def use_cases(root: Path) -> list[str]:
    """Return the names of the folders below params/ that hold a config.yaml, sorted."""
    return sorted(path.parent.name for path in (root / "params").glob("*/config.yaml"))


def load(name: str, *, root: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the use case ``name`` (``demo`` or ``params/demo``).

    Raises ConfigError for the first file with a mistake, naming file, line, key, what was found and what was expected.
    Whoever goes on to read or write outputs/ comes by here, so that is where it is closed to other users.
    """
    root = root or find_root()
    environment = os.environ if environment is None else environment
    name = Path(name).name
    folder = root / "params" / name
    if not (folder / "config.yaml").is_file():
        names = use_cases(root)
        raise ConfigError(
            f"{folder}/config.yaml is not there; known: {', '.join(names) or 'none'}.{near(name, names)} "
            f"`quire init {name}` makes a new one."
        )
    problem = folder_problem(root, outputs_folder(root))
    if problem:
        raise ConfigError(problem)
    private.close(outputs_folder(root))
    own = folder / "workflow.yaml"
    documents = {
        "config": read_document(folder / "config.yaml"),
        "schema": read_document(folder / "schema.yaml"),
        "params": read_document(folder / "params.yaml"),
        "workflow": read_document(own if own.is_file() else root / "params" / "workflow.yaml"),
    }
    return _settings(name, root, documents, environment)


def parse(name: str, root: Path, texts: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Return the settings that ``texts`` (config, schema, params) would make as params/NAME, which need not be there.

    Raises ConfigError as `load` does.
    """
    folder = root / "params" / name
    documents = {key: Document(folder / f"{key}.yaml", text) for key, text in texts.items()}
    documents["workflow"] = read_document(root / "params" / "workflow.yaml")
    return _settings(name, root, documents, environment)


def _settings(name: str, root: Path, documents: Mapping[str, Document], environment: Mapping[str, str]) -> Settings:
    entity: Config = documents["config"].read(Config, environment)
    learn_secrets(entity, documents["config"].raw, environment)
    for variable in SECRET_VARIABLES:
        learn(environment.get(variable, ""))
    return Settings(
        name=name,
        root=root,
        config=entity,
        schema=documents["schema"].read(Schema),
        params=_read_params(documents["params"]),
        workflow=documents["workflow"].read(Workflow),
        raw={key: document.raw for key, document in documents.items()},
    )


def learn_secrets(entity: BaseModel, raw: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Have every secret of ``entity`` redacted from now on, and those that its secret settings refer to.

    raw: the same section of config.yaml as it is written, with references.
    """
    for name, value in entity:
        raw_value = raw.get(name)
        if isinstance(value, BaseModel):
            learn_secrets(value, raw_value if isinstance(raw_value, Mapping) else {}, environment)
        elif isinstance(value, SecretStr):
            learn(value.get_secret_value(), path=name in _SECRET_PATHS)
            for reference in REFERENCE.finditer(str(raw_value)):
                learn(environment.get(reference[1], ""))


def check_value(name: str, value: Any, *, where: str) -> None:
    """Raise ConfigError if the parameter ``name`` is one of a known form and ``value`` is not of it."""
    entity = ENTITIES.get(name)
    if entity is None:
        return
    Document(Path(where), json.dumps(value)).read(entity)


def line_of_params(settings: Settings, keys: tuple[str, ...]) -> int:
    """Return the line of params.yaml, counted from 1, at which the value that ``keys`` lead to stands."""
    return read_document(settings.folder / "params.yaml").line(keys)


def _read_params(document: Document) -> Params:
    """Return the sections of params.yaml, those values checked whose form is known."""
    sections: Params = document.read(Params)
    for section, values in sections.items():
        for name, value in values.items():
            entity = ENTITIES.get(name)
            if entity is None:
                continue
            try:
                entity.model_validate_json(json.dumps(value))
            except ValidationError as error:
                raise ConfigError(document.explain(entity, error, below=(section, name))) from None
    return sections
