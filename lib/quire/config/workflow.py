"""workflow.yaml: which notebook after which."""

import json
import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from quire.config.units import Duration
from quire.config.yaml import Entity
from quire.errors import near


class Reaction(Entity):
    """What follows a signal: a workflow to run, at most once per period."""

    workflow: str
    at_most_every: Duration = "7d"


OUTSIDE = ("source", "champion", "feedback", "predictions")
"""State outside of a run that a stage can read."""

ENVIRONMENT = "env:"
"""What the name of an environment variable in `reads` begins with."""


def _outside(name: str) -> str:
    if name in OUTSIDE or re.fullmatch(rf"{ENVIRONMENT}[A-Za-z_][A-Za-z0-9_]*", name):
        return name
    raise ValueError(
        f"expected {', '.join(OUTSIDE)}, or {ENVIRONMENT}NAME for an environment variable{near(name, OUTSIDE)}"
    )


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse values of a fan-out that are there twice, since two stages would do the same under one name."""
    if not values:
        raise ValueError("expected one value at least; a stage without any would never run")
    texts = [json.dumps(value, sort_keys=True) for value in values]
    for value, text in zip(values, texts, strict=True):
        if texts.count(text) > 1:
            raise ValueError(f"{value!r} stands {texts.count(text)} times; write each value once")
    return values


class Stage(Entity):
    """One notebook of a workflow.

    notebook: its name below notebooks/, without .ipynb. needs: stages that must have ended before. reads: what it reads
    outside of the run, besides what its code shows: the source, the champion, feedback and predictions of the database,
    or an environment variable, as env:NAME; it runs again when that changed. files: names or globs, relative to the
    project, of files that it reads besides those that its code names; their contents count. for_each: values of
    parameters; the stage runs once for each combination. retries: how often it is tried again. timeout_s,
    cell_timeout_s: how long it, or one cell of it, may take. on_signal: which workflow follows a signal.
    """

    notebook: str
    needs: tuple[str, ...] = ()
    reads: tuple[Annotated[str, AfterValidator(_outside)], ...] = ()
    files: tuple[str, ...] = ()
    for_each: dict[str, Annotated[tuple[Any, ...], AfterValidator(_distinct)]] = {}
    retries: int = Field(default=0, ge=0)
    timeout_s: float | None = Field(default=None, gt=0)
    cell_timeout_s: float | None = Field(default=None, gt=0)
    on_signal: dict[str, Reaction] = {}


class Workflow(Entity):
    """Stages, and named selections of them. A need that is not in a selection is met by leaving it out."""

    stages: dict[str, Stage] = Field(min_length=1)
    workflows: dict[str, tuple[str, ...]] = Field(min_length=1)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for name, stage in self.stages.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"{name!r} is no stage name: write lower-case letters, digits and underscores.")
            for need in stage.needs:
                if need not in self.stages:
                    raise ValueError(f"stage {name} needs {need!r}, which is no stage.{near(need, self.stages)}")
            for signal, reaction in stage.on_signal.items():
                if reaction.workflow not in self.workflows:
                    raise ValueError(
                        f"stage {name}, on_signal.{signal}: {reaction.workflow!r} is no workflow."
                        + near(reaction.workflow, self.workflows)
                    )
        for workflow, names in self.workflows.items():
            for name in names:
                if name not in self.stages:
                    raise ValueError(f"workflow {workflow} names {name!r}, which is no stage.{near(name, self.stages)}")
        cycle = _cycle({name: stage.needs for name, stage in self.stages.items()})
        if cycle:
            raise ValueError(f"the stages need each other in a circle: {' -> '.join(cycle)}.")
        return self

    def selected(self, workflow: str) -> dict[str, Stage]:
        """Return the stages of ``workflow``, each with the needs that are part of it; raises KeyError if unknown."""
        names = self.workflows[workflow]
        return {
            name: stage.model_copy(update={"needs": tuple(need for need in stage.needs if need in names)})
            for name, stage in self.stages.items()
            if name in names
        }


def _cycle(needs: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the names of one circle of needs, its first name again at the end, or an empty list."""
    visited: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in visited:
            return []
        for need in needs[name]:
            cycle = visit(need, [*path, name])
            if cycle:
                return cycle
        visited.add(name)
        return []

    return next((cycle for name in needs if (cycle := visit(name, []))), [])
