"""Which model is served: the champion, watched for a new one, which is made ready beside it and then takes over."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from quire.config import Settings
from quire.errors import ModelError, QuireError
from quire.serve import loaded_model
from quire.serve.loaded_model import LoadedModel

if TYPE_CHECKING:
    from quire.io.tracking import Registry, Version

LOG = logging.getLogger("quire.serve")

RETRY_AFTER = 12
"""A version that did not load is tried again after so many looks."""


class ModelWatcher:
    """The champion and the challenger of one use case.

    current, challenger: what is served and shadowed, None where there is none. problem: why the newest champion is
    not the one served, empty where it is. swapped: called with each new champion.
    """

    def __init__(
        self, registry: "Registry", settings: Settings, *, swapped: Callable[[LoadedModel], None] = lambda served: None
    ) -> None:
        self.current: LoadedModel | None = None
        self.challenger: LoadedModel | None = None
        self.problem = "No champion has been loaded yet."
        self.challenger_problem = ""
        self._registry, self._settings, self._swapped = registry, settings, swapped
        self._refused: dict[str, int] = {}

    def refresh(self) -> None:
        """Look for a new champion and a new challenger, and load them; takes seconds if there is one."""
        serve = self._settings.config.serve
        try:
            champion = self._registry.champion()
            challenger = self._registry.champion(serve.shadow) if serve.shadow else None
        except QuireError as error:
            self.problem = f"The registry does not answer: {error}"
            return
        if champion is None:
            self.problem = f"Model {self._registry.name!r} has no {self._settings.alias}; `quire run` makes one."
            return
        self.current, self.problem = self._next(self.current, champion, self.problem)
        if challenger is None or challenger.version == champion.version:
            self.challenger, self.challenger_problem = None, ""
        else:
            self.challenger, self.challenger_problem = self._next(self.challenger, challenger, self.challenger_problem)

    async def watch(self, *, every_s: float) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(every_s)
            before = self.current
            await asyncio.to_thread(self.refresh)
            if self.current is not None and self.current is not before:
                self._swapped(self.current)

    def _next(self, now: LoadedModel | None, version: "Version", problem: str) -> tuple[LoadedModel | None, str]:
        """Return what to serve from now on, and why it is not ``version``, if it is not."""
        if now is not None and now.number == version.version:
            return now, ""
        if self._refused.get(version.version, 0) > 0:
            self._refused[version.version] -= 1
            return now, problem
        serve = self._settings.config.serve
        try:
            return self._load(version, serve.max_rows, serve.cache_rows), ""
        except Exception as error:
            self._refused[version.version] = RETRY_AFTER
            instead = f"version {now.number} is served still" if now else "none is served"
            LOG.error("version %s is not served: %s", version.version, error)
            return now, f"Version {version.version} is not served, {instead}: {error}"

    def _load(self, version: "Version", max_rows: int, cache_rows: int) -> LoadedModel:
        try:
            schema = self._settings.schema
            return loaded_model.load(self._registry, version, schema, max_rows=max_rows, cache_rows=cache_rows)
        except QuireError:
            raise
        except Exception as error:
            raise ModelError(f"it does not load: {type(error).__name__}: {error}") from error
