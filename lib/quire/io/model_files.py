"""A model as a folder: MLflow's model format, holding a scikit-learn pipeline in skops' safe format.

Loading needs neither MLflow nor trust in the file: only the types named here are ever made from it.
"""

import json
import shutil
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from quire.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd

PIPELINE = "model.skops"
EXAMPLE_OUTPUT = "input_example_output.json"
"""What the pipeline gave for the input example when it was saved; whoever loads it can see whether it still does."""

FILES = "files"
"""The sub-folder for what belongs to the model: profiles, schema, evaluation, model card."""

TRUSTED = (
    "functools.partial",
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
"""Types that our estimators' files hold beyond what skops trusts by itself; they compute, and reach nothing outside."""

OWN = "quire.model."
"""Types of the installed package are trusted too: a file can name them, but their code is ours."""

REQUIREMENTS = ("mlflow", "scikit-learn", "skops", "numpy", "pandas", "scipy")


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
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            metadata=dict(metadata),
        )
    (folder / EXAMPLE_OUTPUT).write_text(json.dumps(_output(pipeline, input_example)), encoding="utf-8")
    beside = folder / FILES
    beside.mkdir()
    for name, path in files.items():
        shutil.copyfile(path, beside / name)


def write_pipeline(folder: Path, pipeline: Any) -> None:
    """Write the fitted ``pipeline`` alone to ``folder``, for `load_model`; raises ModelError as `save_model` does."""
    import skops.io

    _trusted(pipeline)
    skops.io.dump(pipeline, folder / PIPELINE)


def load_model(folder: Path) -> Any:
    """Return the fitted pipeline that ``folder`` holds; raises ModelError if it is not there, or not to be trusted."""
    import skops.io

    path = folder / PIPELINE
    if not path.is_file():
        raise ModelError(f"{folder} holds no {PIPELINE}; expected a model folder that `quire run` saved.")
    try:
        unknown = set(skops.io.get_untrusted_types(file=path))
        return skops.io.load(path, trusted=sorted(_accept(unknown, where=str(path))))
    except BadZipFile as error:
        raise ModelError(f"{path} is not whole: {error}. Train again, or go back: `quire rollback`.") from error


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
    import skops.io

    return sorted(_accept(set(skops.io.get_untrusted_types(data=skops.io.dumps(pipeline))), where="the pipeline"))


def _accept(types: set[str], *, where: str) -> set[str]:
    """Return ``types`` if each is trusted; raises ModelError naming those that are not."""
    refused = sorted(name for name in types if name not in TRUSTED and not name.startswith(OWN))
    if refused:
        raise ModelError(
            f"{where} holds types that are not trusted: {', '.join(refused)}. Build it of scikit-learn's classes; "
            "if a type is known to be harmless, add it to TRUSTED in quire/io/model_files.py, with a test."
        )
    return types
