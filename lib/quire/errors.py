"""Everything that can go wrong, as one tree.

QuireError
├── ConfigError            a file in params/, a parameter or the environment is wrong          exit code 2
├── DataError              the source is missing, empty, or lacks what the schema asks for     exit code 3
│   └── ValidationFailed   the data failed an expectation of severity ``fail``                 exit code 3
├── StageFailed            a notebook failed, was killed or ran out of time                    exit code 4
├── ArtifactError          an artifact or a run is not there or not whole                      exit code 4
├── ModelError             a model is missing, does not load or cannot be judged               exit code 4
├── Busy                   another run of the same params is under way                         exit code 5
├── ArchiveError           the run is whole here but was not archived                          exit code 6
├── ServiceError           the database, tracking server or another service does not answer    exit code 7
└── Interrupted            SIGINT or SIGTERM                                                   exit code 130

A message says what was found, where, what was expected and what to do, with the near name. It never holds a secret.
"""

import difflib
from collections.abc import Iterable

from quire.redaction import redact


class QuireError(Exception):
    """Anything that Quire raises on purpose; its text is meant for the person at the terminal, and is redacted."""

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(redact(argument) if isinstance(argument, str) else argument for argument in args))


class ConfigError(QuireError):
    """A file in params/, a parameter or an environment variable is wrong."""

    exit_code = 2


class DataError(QuireError):
    """The source is missing, empty, or lacks what the schema asks for."""

    exit_code = 3


class ValidationFailed(DataError):
    """The data failed an expectation of severity ``fail``."""


class StageFailed(QuireError):
    """A notebook failed, was killed or ran out of time."""

    exit_code = 4


class ArtifactError(QuireError):
    """An artifact or a run is not there or not whole."""

    exit_code = 4


class ModelError(QuireError):
    """A model is missing, does not load or cannot be judged."""

    exit_code = 4


class Busy(QuireError):
    """Another run of the same params is under way."""

    exit_code = 5


class ArchiveError(QuireError):
    """The run is whole here but was not archived."""

    exit_code = 6


class ServiceError(QuireError):
    """The database, the tracking server or another service does not answer."""

    exit_code = 7


class Interrupted(QuireError):
    """SIGINT or SIGTERM ended the run."""

    exit_code = 130


def near(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name closest to ``name``, or an empty string."""
    matches = difflib.get_close_matches(str(name), [str(item) for item in known], n=1, cutoff=0.6)
    return f" Did you mean {matches[0]!r}?" if matches else ""
