"""The model registry: versions, which of them is champion, and which was champion before.

MLflow's door, with `tracking_store` (the connection), `tracking_runs` (what a run logs) and `model_files`.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import url2pathname

from quire.config import Settings
from quire.errors import ModelError
from quire.io import model_files
from quire.io.permissions import NO_PROMOTION
from quire.io.tracking_store import connect, store_path, translate_errors

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

    from quire.io.artifacts import Run

EVENT = "quire.event."
"""Registry tags of this prefix record who was champion when: one tag per event, so that none is ever overwritten."""

LOG = logging.getLogger("quire.models")
_UNSIGNED: set[tuple[str, str]] = set()
"""Versions without a hash that the log has named."""

FINGERPRINT = "quire.model_fingerprint"
"""Tag of a candidate: what its model was made of, as `model.fit_candidate` says."""

GATE = "the gate"
"""Who moves an alias in a run."""

MOVED_BY, MOVED_WITH = "quire.moved_by", "quire.moved_with"
"""Tags of a version: who last moved an alias to it, and by which command."""

EVENT_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
"""ISO 8601 in UTC; MLflow takes no plus sign in a tag's name."""


@dataclass(frozen=True)
class Version:
    """A registered model version."""

    name: str
    version: str
    run_id: str
    created_at: datetime
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    uri: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """A move of an alias: to which version, when, why, and from which run."""

    at: datetime
    alias: str
    version: str
    kind: str
    reason: str = ""
    run_id: str = ""
    as_of: str = ""
    by: str = ""
    """Who moved it: a user's name, or `GATE`; empty in the history of versions of Quire that did not keep it."""
    command: str = ""
    """The command that moved it."""

    @classmethod
    def of(cls, at: str, kept: str) -> "Event":
        """Return the event that a tag keeps; what only another version of Quire knows of it is left out."""
        names = {event_field.name for event_field in fields(cls)}
        values = {name: value for name, value in json.loads(kept).items() if name in names}
        return cls(**{**values, "at": datetime.fromisoformat(at)})


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Registry:
    """The models of one use case. Nothing is imported or opened before the first question."""

    settings: Settings
    now: Callable[[], datetime] = field(default=_now, repr=False)

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's client; raises ServiceError if the store does not answer."""
        return connect(self.settings)

    @property
    def name(self) -> str:
        """The model's name in the registry."""
        return self.settings.model_name

    @property
    def is_empty(self) -> bool:
        """Whether the embedded store was never made; answered without opening anything."""
        path = store_path(self.settings.tracking_uri)
        return path is not None and not path.exists()

    def champion(self, alias: str | None = None) -> Version | None:
        """Return the version that ``alias`` (by default that of the run) points to, or None."""
        if self.is_empty:
            return None
        from mlflow.exceptions import MlflowException

        try:
            with translate_errors(self.settings.tracking_uri):
                model_version = self.client.get_model_version_by_alias(self.name, alias or self.settings.alias)
                return self._version(model_version, sorted(model_version.aliases))
        except Exception as error:
            cause = error.__context__
            if isinstance(cause, MlflowException) and cause.error_code in (
                "RESOURCE_DOES_NOT_EXIST",
                "INVALID_PARAMETER_VALUE",
            ):
                return None
            raise

    def versions(self) -> list[Version]:
        """Return all registered versions, the newest first."""
        if self.is_empty:
            return []
        with translate_errors(self.settings.tracking_uri):
            aliases = self._aliases()
            model_versions = self._all(
                lambda token: self.client.search_model_versions(f"name='{self.name}'", page_token=token)
            )
            versions = [
                self._version(model_version, aliases.get(str(model_version.version), ()))
                for model_version in model_versions
            ]
        return sorted(versions, key=lambda version: int(version.version), reverse=True)

    def version(self, number: str | int) -> Version:
        """Return one version; raises ModelError naming those there are."""
        versions = self.versions()
        match = next((version for version in versions if version.version == str(number)), None)
        if match is None:
            numbers = ", ".join(version.version for version in versions) or "none"
            raise ModelError(f"Model {self.name} has no version {number}; it has: {numbers}.")
        return match

    def history(self, alias: str | None = None) -> list[Event]:
        """Return every move of ``alias``, the oldest first."""
        if self.is_empty:
            return []
        alias_name = alias or self.settings.alias
        with translate_errors(self.settings.tracking_uri):
            model = self._registered()
        tags = model.tags if model else {}
        events = [Event.of(key.removeprefix(EVENT), value) for key, value in tags.items() if key.startswith(EVENT)]
        return sorted((event for event in events if event.alias == alias_name), key=lambda event: event.at)

    def registered(self, run: "Run") -> Version | None:
        """Return the version that was made of a run's candidate, else the one with an alias that is the same, or None.

        A candidate is the same model as a version where rows, estimator and parameters are: its fingerprint says so.
        """
        logged, versions = run.load("candidate").get("run_id"), self.versions()
        for version in versions:
            if (logged and version.run_id == logged) or version.tags.get("quire.run_id") == run.run_id:
                return version
        fingerprint = model_files.read_metadata(run.path("model")).get(FINGERPRINT) if run.has("model") else None
        aliased_versions = [version for version in versions if fingerprint and version.aliases and version.run_id]
        with translate_errors(self.settings.tracking_uri):
            fingerprints = [
                self.client.get_run(version.run_id).data.tags.get(FINGERPRINT) for version in aliased_versions
            ]
        return next(
            (version for version, mark in zip(aliased_versions, fingerprints, strict=True) if mark == fingerprint), None
        )

    def log_candidate(
        self,
        run: "Run",
        pipeline: Any,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        input_example: "pd.DataFrame",
        trials: "pd.DataFrame | None" = None,
        dataset: Mapping[str, Any] | None = None,
        figures: "Mapping[str, Figure] | None" = None,
        files: Mapping[str, Path] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dict[str, str | None]:
        """Save a fitted pipeline as the folder ``model`` of the stage, and log it; by hand, only save it.

        input_example: a few rows as the pipeline takes them; the signature is made from them.
        trials: a row per trial; columns ``param_*`` are its parameters, other numbers its metrics.
        dataset: what ingest's manifest says of the training data (``fingerprint``, ``source``, ``rows``).
        files: what belongs to the model, by name; a ``model_card.md`` among them becomes the version's description.
        Returns ``run_id``, ``model_uri`` and ``sha256`` of the pipeline file; by hand the first two, which are None.
        """
        from quire.io.tracking_runs import log_candidate

        return log_candidate(
            self, run, pipeline, params=params, metrics=metrics, trials=trials, input_example=input_example,
            dataset=dataset or {}, figures=figures or {}, files=files or {}, tags=tags or {},
        )  # fmt: skip

    def log_run(self, record: Mapping[str, Any], folder: Path) -> str:
        """Log a workflow run: a parent of what its stages logged, with notebooks and reports; return its MLflow id.

        record: what run.json says. Logging it again, after a resume, brings the same MLflow run up to date.
        """
        from quire.io.tracking_runs import log_run

        with translate_errors(self.settings.tracking_uri):
            return log_run(self, record, folder)

    def load(self, model: "Version | Mapping[str, Any] | str | Path") -> Any:
        """Return the fitted pipeline of a version, of a candidate, or at a URI or a folder.

        Raises ModelError where it is not the file that was logged or registered, see `sha256`.
        """
        return model_files.load_model(self.folder(model), sha256=self.sha256(model))

    def sha256(self, model: "Version | Mapping[str, Any] | str | Path") -> str:
        """Return what the model's file hashed to when it was registered, or logged as a candidate; "" if not kept.

        Versions of before hashes were kept have none. They load, and the log says so once.
        """
        if isinstance(model, Mapping):
            return str(model.get("sha256") or "")
        name, _, number = str(model).removeprefix("models:/").partition("/")
        if not isinstance(model, Version) and str(model) == f"models:/{name}/{number}" and number.isdecimal():
            with translate_errors(self.settings.tracking_uri):
                model = self._version(self.client.get_model_version(name, number), ())
        if not isinstance(model, Version):
            return ""
        digest = model.tags.get(model_files.SHA256_TAG, "")
        if not digest and (model.name, model.version) not in _UNSIGNED:
            _UNSIGNED.add((model.name, model.version))
            LOG.warning(
                "Version %s of %s was registered before hashes were kept, so a changed file would not be noticed. "
                "The next version that is trained has one.", model.version, model.name,
            )  # fmt: skip
        return digest

    def folder(self, model: "Version | Mapping[str, Any] | str | Path") -> Path:
        """Return a local folder that holds the model; what lies elsewhere is downloaded."""
        if isinstance(model, Mapping):
            model = model["model_uri"]
        uri = model.uri if isinstance(model, Version) else str(model)
        with translate_errors(self.settings.tracking_uri):
            if uri.startswith("models:/"):
                uri = self._location(uri.removeprefix("models:/"))
            if uri.startswith("file://"):
                return Path(url2pathname(uri.removeprefix("file://")))
            if ":/" not in uri:
                return Path(uri)
            from mlflow.artifacts import download_artifacts

            return Path(download_artifacts(artifact_uri=uri, tracking_uri=self.client.tracking_uri))

    def _location(self, name: str) -> str:
        """Return where the artifacts of ``models:/name`` are: a logged model's id, or a version such as demo/3."""
        model, _, version = name.partition("/")
        if not version:
            return self.client.get_logged_model(model).artifact_location
        return self.client.get_model_version_download_uri(model, version)

    def files(self, model: "Version | Mapping[str, Any] | str | Path") -> Path:
        """Return the folder of what was logged beside the model: profiles, schema, evaluation, model card."""
        return self.folder(model) / model_files.FILES

    def promote(
        self,
        candidate: Mapping[str, Any] | Version,
        *,
        reason: str,
        run: "Run | None" = None,
        alias: str | None = None,
        metrics: Mapping[str, float] | None = None,
        files: Mapping[str, Path] | None = None,
        by: str = "",
        command: str = "",
    ) -> Version:
        """Register the candidate if need be, and move the alias to it; again with the same candidate changes nothing.

        candidate: what `log_candidate` returned, with its params and metrics; or a version there is.
        run: the run that promotes; its folder ``model`` is logged anew where the store does not know the candidate.
        metrics, files: what the evaluation found, kept with the version. by, command: who promotes and how, for the
        history; by default the gate in a run, else the user of the settings.
        Raises ModelError by hand and in a run that publishes nothing.
        """
        if run is not None and not run.publishes:
            raise ModelError(NO_PROMOTION[run.held_back])
        from quire.io.tracking_runs import add_evaluation, register

        alias_name = alias or self.settings.alias
        with translate_errors(self.settings.tracking_uri):
            number = candidate.version if isinstance(candidate, Version) else register(self, candidate, run)
            add_evaluation(self, number, metrics or {}, files or {})
            self._move(alias_name, number, "promote", reason=reason, run=run, by=by, command=command)
        return self.version(number)

    def rollback(self, alias: str | None = None, *, reason: str = "", by: str = "", command: str = "") -> Version:
        """Move the alias back to the version that was champion before; raises ModelError if there was none.

        by, command: who does it and how, as for `promote`.
        """
        alias_name = alias or self.settings.alias
        stack: list[str] = []
        for event in self.history(alias_name):
            if event.kind == "rollback":
                stack = stack[:-1]
            else:
                stack.append(event.version)
        if len(stack) < 2:
            raise ModelError(
                f"Model {self.name} has no earlier {alias_name} to go back to; `quire champion` shows its history."
            )
        with translate_errors(self.settings.tracking_uri):
            reason = reason or f"back from version {stack[-1]}"
            self._move(alias_name, stack[-2], "rollback", reason=reason, run=None, by=by, command=command)
        return self.version(stack[-2])

    def _move(
        self, alias: str, number: str, kind: str, *, reason: str, run: "Run | None", by: str, command: str
    ) -> None:
        current = self.champion(alias)
        if current is not None and current.version == number:
            return
        version = self.version(number)
        model_files.check_sha256(self.folder(version), self.sha256(version))
        event = {
            "alias": alias,
            "version": number,
            "kind": kind,
            "reason": reason,
            "run_id": run.run_id if run else "",
            "as_of": run.as_of.isoformat() if run and run.as_of else "",
            "by": by or (GATE if run else self.settings.user),
            "command": command or (f"quire run params/{self.settings.name}" if run else ""),
        }
        # The record first: a crash between the two leaves a record too many, which promoting again mends.
        self.client.set_registered_model_tag(self.name, EVENT + self.now().strftime(EVENT_TIME), json.dumps(event))
        self.client.set_registered_model_alias(self.name, alias, number)
        for tag, value in ((MOVED_BY, event["by"]), (MOVED_WITH, event["command"])):
            self.client.set_model_version_tag(self.name, number, tag, value)

    def _registered(self) -> Any:
        """Return MLflow's registered model, or None if there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _aliases(self) -> dict[str, list[str]]:
        """Return the aliases of each version: what a search for versions hands back does not have them."""
        model = self._registered()
        aliases: dict[str, list[str]] = {}
        for alias, version in sorted((model.aliases if model else {}).items()):
            aliases.setdefault(str(version), []).append(alias)
        return aliases

    def _version(self, found: Any, aliases: Iterable[str]) -> Version:
        logged = self.client.get_run(found.run_id).data.metrics if found.run_id else {}
        return Version(
            name=found.name,
            version=str(found.version),
            run_id=found.run_id or "",
            created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
            metrics=dict(logged),
            tags=dict(found.tags),
            uri=self.client.get_model_version_download_uri(found.name, found.version),
            aliases=tuple(aliases),
        )

    @staticmethod
    def _all(page: Callable[[Any], Any]) -> list[Any]:
        entries, token = [], None
        while True:
            answer = page(token)
            entries.extend(answer)
            token = answer.token
            if not token:
                return entries


def open(settings: Settings, *, now: Callable[[], datetime] = _now) -> Registry:
    """Return the registry of a use case; nothing is imported or opened before it is asked something."""
    return Registry(settings, now)
