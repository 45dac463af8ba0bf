"""What comes from an archive, parsed once into checked types: whoever may write there writes nothing elsewhere here.

A run's name is a name and no path, a hash is 64 hexadecimal digits, and a path stays below the folder that it belongs
to. What is otherwise, cut off or of another kind is an ArchiveError that names the object.
"""

import re
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from quire.errors import ArchiveError

LONGEST_PATH_BYTES = 1024


class Malformed(ArchiveError):
    """An object of the archive is not what Quire writes."""


_RUN_ID = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
_DRIVE = re.compile(r"[A-Za-z]:")


def _plain_text(text: str) -> str:
    """Return the text if it can be shown and be a name: of Unicode's characters, without those that control."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("holds a control character, or half of one")
    return text


def _relative_path(text: str) -> str:
    """Return the text if it is a path that stays below its folder on every machine."""
    _plain_text(text)
    parts = text.split("/")
    if "\\" in text or _DRIVE.match(text) or any(part in ("", ".", "..") for part in parts):
        raise ValueError("is no relative path without '.', '..', a drive or a backslash")
    if len(text.encode()) > LONGEST_PATH_BYTES or any(len(part.encode()) > 255 for part in parts):
        raise ValueError("is longer than a path can be")
    return text


RunId = Annotated[str, Field(pattern=rf"\A{_RUN_ID}\z")]
"""A run's name; see `quire.flow.record.new_run_id` for the form that it has now."""

Sha256 = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
RelativePath = Annotated[str, Field(min_length=1), AfterValidator(_relative_path)]
Text = Annotated[str, Field(max_length=2000), AfterValidator(_plain_text)]
Bytes = Annotated[int, Field(ge=0, lt=2**50)]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class ArchivedFile(_Checked):
    """A file of an archived run. key: the object below the run's folder that holds it; "" if that is its own path."""

    sha256: Sha256
    size_bytes: Bytes
    key: Annotated[str, AfterValidator(lambda key: key and _relative_path(key))] = ""


class Manifest(_Checked):
    """The files of an archived run, by path."""

    files: dict[RelativePath, ArchivedFile]


class _Artifact(_Checked):
    name: RelativePath
    sha256: Sha256
    bytes: Bytes
    stamp: Text = ""


class StageNote(_Checked):
    """Which run holds a stage's result, and what it was made of; see `quire.flow.cache.Trace`."""

    run_id: RunId
    made_by: RunId = ""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    words: Text = ""
    inputs: dict[Text, dict[Text, Text]] = {}
    reads: dict[Text, Text] = {}
    artifacts: list[_Artifact] = []


class MirroredFile(_Checked):
    """A file of the mirrored stores. outputs: where the folder outputs/ was, for a database."""

    sha256: Sha256
    bytes: Bytes
    outputs: Annotated[str, Field(pattern=r"\A/"), AfterValidator(_plain_text)] | None = None


class MirrorList(_Checked):
    """The files of the mirrored stores by path, and who wrote them last."""

    machine: Text
    run_id: Text
    files: dict[RelativePath, MirroredFile]


class LeaseHolder(_Checked):
    """Who holds a lease."""

    owner: Text


class RunHeader(_Checked):
    """What of the record of an archived run is read before people and pages read it."""

    run_id: RunId = ""
    params: Text = ""
    status: Text = ""
    stages: dict[Text, dict[str, Any]] | list[Text] = {}


Parsed = TypeVar("Parsed", bound=BaseModel)


def parse(kind: type[Parsed], content: bytes, *, where: str) -> Parsed:
    """Return the JSON ``content`` of the object ``where`` as ``kind``; raises Malformed naming what is wrong."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        place = ".".join(str(part)[:100] for part in first["loc"] if part != "[key]")
        raise Malformed(
            f"{where} is not what Quire writes: {ascii(place)[1:-1] + ': ' if place else ''}{message}. It was "
            "tampered with or damaged: remove it, and see who may write to the archive."
        ) from None


def is_run_name(text: str) -> bool:
    """Whether a text can be the name of a run."""
    return bool(re.fullmatch(_RUN_ID, text))


def run_name(run_id: str) -> str:
    """Return ``run_id`` if it is a run's name; raises ArchiveError otherwise."""
    if not is_run_name(run_id):
        raise ArchiveError(
            f"{run_id!r} is no name of a run; it has letters, digits, - and _ alone. `quire fetch --list` shows them."
        )
    return run_id


def place_below(folder: Path, path: str) -> Path:
    """Return where a checked relative ``path`` is below ``folder``; raises ArchiveError if a link leads elsewhere."""
    target = folder
    for part in PurePosixPath(path).parts[:-1]:
        target = target / part
        if target.is_symlink():
            raise ArchiveError(f"{target} is a link, so {path} would be written elsewhere. Remove the link.")
    return folder / path


def as_json(parsed: BaseModel) -> dict[str, Any]:
    """Return what was parsed as a dict, without what the object did not hold."""
    return parsed.model_dump(exclude_unset=True)
