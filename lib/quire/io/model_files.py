"""A model as a folder: MLflow's model format, holding a scikit-learn pipeline in skops' safe format.

Loading needs neither MLflow nor trust in the file. Only classes on an exact list are made from it (`model_schema`), and
what it hands to native code is checked for its bounds (`model_arrays`). Whether it is the file that was registered says
its SHA-256, which the registry keeps.
"""

import hashlib
import io
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution, packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from quire.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd

PIPELINE = "model.skops"
EXAMPLE_OUTPUT = "input_example_output.json"
"""What the pipeline gave for the input example when it was saved; whoever loads it can see whether it still does."""

FILES = "files"
"""The sub-folder for what belongs to the model: profiles, schema, evaluation, model card."""

SHA256_TAG = "quire.sha256"
"""Tag of a registered version: the SHA-256 of its pipeline's file."""

REQUIREMENTS = ("mlflow", "skops", "pandas", "numpy", "scipy", "scikit-learn")
"""What every model is loaded, fed and computed with; those that its types come from are added."""


def save_model(
    folder: Path,
    pipeline: Any,
    *,
    input_example: "pd.DataFrame",
    files: Mapping[str, Path],
    metadata: Mapping[str, Any],
) -> None:
    """Write the fitted ``pipeline`` to ``folder``, with its signature, an input example, and ``files`` by name.

    input_example: a few rows as the pipeline takes them; what it gives for them is kept too. Raises ModelError where
    the pipeline holds a type that is not on the list of trusted ones.
    """
    from mlflow.models import infer_signature
    from mlflow.sklearn import save_model

    trusted = _trusted(pipeline)
    with warnings.catch_warnings():
        # MLflow's own use of pandas, and its hint on integer columns; ours are floats and texts.
        warnings.simplefilter("ignore")
        save_model(
            pipeline,
            str(folder),
            signature=infer_signature(input_example, pipeline.predict(input_example)),
            input_example=input_example,
            serialization_format="skops",
            skops_trusted_types=trusted,
            # Given, so that MLflow does not load the model in another process to find out.
            pip_requirements=[f"{name}=={version(name)}" for name in _requirements(pipeline)],
            metadata=dict(metadata),
        )
    (folder / EXAMPLE_OUTPUT).write_text(json.dumps(_output(pipeline, input_example)), encoding="utf-8")
    files_folder = folder / FILES
    files_folder.mkdir()
    for name, path in files.items():
        shutil.copyfile(path, files_folder / name)


def read_metadata(folder: Path) -> Mapping[str, Any]:
    """Return the metadata that `save_model` was given with the model in ``folder``."""
    from mlflow.models import Model

    return Model.load(str(folder)).metadata or {}


def write_pipeline(folder: Path, pipeline: Any) -> None:
    """Write the fitted ``pipeline`` alone to ``folder``, for `load_model`; raises ModelError as `save_model` does."""
    import skops.io

    _trusted(pipeline)
    skops.io.dump(pipeline, folder / PIPELINE)


def load_model(folder: Path, *, sha256: str = "") -> Any:
    """Return the fitted pipeline that ``folder`` holds.

    sha256: what its file must hash to, in hexadecimal digits; "" where nobody kept it. Raises ModelError if the model
    is not there, is not that one, holds types that are not trusted, or arrays that point outside of it.
    """
    import skops.io

    from quire.io import model_arrays, model_schema

    path, content = folder / PIPELINE, _read(folder)
    _compare(path, hashlib.sha256(content).hexdigest(), sha256)
    trusted = model_schema.check_file(content, where=str(path))
    try:
        pipeline = skops.io.loads(content, trusted=trusted)
        model_arrays.check_model(pipeline)
    except Exception as error:  # whatever a class of a library makes of content that is not its own
        problem = f"{type(error).__name__}: {str(error)[:200]}"
        raise ModelError(
            f"{path} does not load: {problem}. It was tampered with or damaged, or made with other versions of the "
            f"libraries than those here. Train again, or go back: `quire rollback`."
        ) from error
    return pipeline


def pipeline_sha256(folder: Path) -> str:
    """Return the SHA-256 of the pipeline's file in ``folder``, in hexadecimal digits; raises ModelError without one."""
    return hashlib.sha256(_read(folder)).hexdigest()


def check_sha256(folder: Path, sha256: str) -> None:
    """Raise ModelError unless the pipeline's file in ``folder`` hashes to ``sha256``."""
    _compare(folder / PIPELINE, pipeline_sha256(folder), sha256)


def _compare(path: Path, found: str, expected: str) -> None:
    if expected and found != expected:
        raise ModelError(
            f"{path} hashes to {found[:12]}, and the registry keeps {expected[:12]}: it is not the model that was "
            "registered. Bring that back from a backup, go back to another version (`quire rollback`), or train again."
        )


def _read(folder: Path) -> bytes:
    try:
        return (folder / PIPELINE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(f"{folder} holds no {PIPELINE}; expected a model folder that `quire run` saved.") from None


def read_signature(folder: Path) -> list[dict[str, Any]]:
    """Return the columns that the model in ``folder`` takes: name, type and whether each is required, in order."""
    import yaml

    described = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    return json.loads((described.get("signature") or {}).get("inputs") or "[]")


def read_example_output(folder: Path) -> list[Any] | None:
    """Return a number or the probability of each class per row of the input example, or None where none is kept."""
    path = folder / EXAMPLE_OUTPUT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _output(pipeline: Any, X: "pd.DataFrame") -> list[Any]:
    return (pipeline.predict_proba(X) if hasattr(pipeline, "predict_proba") else pipeline.predict(X)).tolist()


def _trusted(pipeline: Any) -> list[str]:
    """Return the names that whoever loads the pipeline is to trust; raises ModelError naming those that we do not."""
    import skops.io

    from quire.io import model_schema

    content = skops.io.dumps(pipeline)
    model_schema.check_file(content, where="the pipeline")
    return skops.io.get_untrusted_types(data=content)


def _requirements(pipeline: Any) -> list[str]:
    """Return the names of the distributions that the pipeline needs: `REQUIREMENTS`, and those of its types.

    What is installed from a folder, such as this project, is none: no index has it.
    """
    import skops.io

    with ZipFile(io.BytesIO(skops.io.dumps(pipeline))) as archive:
        modules = set(_modules(json.loads(archive.read("schema.json"))))
    distributions = packages_distributions()
    names = {name for module in modules for name in distributions.get(module.partition(".")[0], ())}
    published = {name for name in names if distribution(name).read_text("direct_url.json") is None}
    return sorted({*REQUIREMENTS, *published})


def _modules(node: Any) -> Iterator[str]:
    """Yield the modules of all types that a part of skops' description of a pipeline names."""
    if isinstance(node, dict):
        if isinstance(node.get("__module__"), str):
            yield node["__module__"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _modules(part)
