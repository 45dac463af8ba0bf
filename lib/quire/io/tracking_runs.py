"""What runs log to MLflow: a candidate and its trials, an evaluation, and a whole workflow run."""

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire.errors import ModelError
from quire.io import model_files
from quire.io.model_card import model_card
from quire.io.tracking_store import experiment_id, translate_errors

if TYPE_CHECKING:
    import pandas as pd

    from quire.io.artifacts import Run
    from quire.io.tracking import Registry

RUN_ID = "quire.run_id"
KIND = "quire.kind"
MODEL_ID = "quire.model_id"
USER = "mlflow.user"
MOST_TRIALS = 100
"""More trials than this are logged as a table only: a run for each would drown the others in the list."""

ENDINGS = {"succeeded": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


def log_candidate(registry: "Registry", run: "Run", pipeline: Any, **logged: Any) -> dict[str, str | None]:
    """Save and log a candidate; the arguments are those of `Registry.log_candidate`."""
    tags = {**_tags(run), **logged["tags"]}
    with tempfile.TemporaryDirectory() as scratch, run.writing("model") as folder:
        files = {"schema.json": _schema_file(run, Path(scratch)), **logged["files"]}
        if "model_card.md" not in files:
            files["model_card.md"] = Path(scratch) / "model_card.md"
            card = model_card(
                run.settings, logged["params"], logged["metrics"], logged["dataset"], logged["input_example"].columns
            )
            files["model_card.md"].write_text(card, encoding="utf-8")
        model_files.save_model(folder, pipeline, input_example=logged["input_example"], files=files, metadata=tags)
        if not run.tracks:
            return {"run_id": None, "model_uri": None}
        sha256 = model_files.pipeline_sha256(folder)
        figures = _drawn(logged["figures"], Path(scratch))
        with translate_errors(registry.settings.tracking_uri):
            candidate = _log(registry, run, folder, tags=tags, figures=figures, **{
                name: logged[name] for name in ("params", "metrics", "trials", "dataset")
            })  # fmt: skip
        return {**candidate, "sha256": sha256}


def _log(
    registry: "Registry",
    run: "Run",
    folder: Path,
    *,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    trials: "pd.DataFrame | None",
    dataset: Mapping[str, Any],
    figures: Path | None,
    tags: Mapping[str, str],
) -> dict[str, str | None]:
    client = registry.client
    experiment = experiment_id(client, registry.settings)
    name = f"{run.stage} {params.get('estimator', '')}".strip()
    tags = {**tags, USER: registry.settings.user}
    run_id = client.create_run(experiment, tags=tags | {KIND: "candidate"}, run_name=name).info.run_id
    try:
        _log_values(client, run_id, params, metrics)
        _log_dataset(client, run_id, registry.settings.name, dataset)
        if trials is not None:
            _log_trials(client, experiment, run_id, trials, tags)
        if figures is not None:
            client.log_artifacts(run_id, str(figures), "figures")
        client.log_artifacts(run_id, str(folder / model_files.FILES), model_files.FILES)
        uri = _log_model(client, experiment, run_id, folder, params, metrics)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return {"run_id": run_id, "model_uri": uri}


def _log_model(
    client: Any, experiment: str, run_id: str, folder: Path, params: Mapping[str, Any], metrics: Mapping[str, float]
) -> str:
    """Upload a saved model folder as MLflow's logged model of a run; return its URI."""
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.models import Model

    model = client.create_logged_model(experiment, name="model", source_run_id=run_id, params=_texts(params))
    described = Model.load(str(folder))
    described.model_id, described.run_id, described.artifact_path = model.model_id, run_id, "model"
    described.save(str(folder / "MLmodel"))
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    at = client.get_run(run_id).info.start_time
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, at, 0, model_id=model.model_id) for name, value in _finite(metrics).items()],
    )
    return f"models:/{model.model_id}"


def _log_values(client: Any, run_id: str, params: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    from mlflow.entities import Metric, Param

    at = client.get_run(run_id).info.start_time
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, at, 0) for name, value in _finite(metrics).items()],
        params=[Param(name, value) for name, value in _texts(params).items()],
    )


def _log_trials(client: Any, experiment: str, run_id: str, trials: "pd.DataFrame", tags: Mapping[str, str]) -> None:
    """Log the trials as a table, and each as a run nested below the candidate's."""
    client.log_dict(run_id, json.loads(trials.to_json(orient="split", index=False, date_format="iso")), "trials.json")
    if len(trials) > MOST_TRIALS:
        return
    for number, trial in enumerate(trials.to_dict("records"), start=1):
        nested = {**tags, KIND: "trial", "mlflow.parentRunId": run_id}
        child = client.create_run(experiment, tags=nested, run_name=f"trial {number}").info.run_id
        params = {name.removeprefix("param_"): value for name, value in trial.items() if name.startswith("param_")}
        numbers = {name: value for name, value in trial.items() if not name.startswith("param_") and _is_number(value)}
        _log_values(client, child, params, numbers)
        client.set_terminated(child, "FINISHED")


def _log_dataset(client: Any, run_id: str, name: str, dataset: Mapping[str, Any]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    fingerprint = str(dataset.get("fingerprint", ""))
    if not fingerprint:
        return
    client.set_tag(run_id, "quire.fingerprint", fingerprint)
    described = {key: dataset[key] for key in ("rows", "windows") if key in dataset}
    entity = Dataset(
        name=name,
        digest=fingerprint[:32],  # MLflow keeps 36 characters; the tag has all.
        source_type="code",
        source=json.dumps({"tags": {"source": dataset.get("source", {}).get("where", "")}}),
        profile=json.dumps(described, default=str),
    )
    client.log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])


def register(registry: "Registry", candidate: Mapping[str, Any], run: "Run | None") -> str:
    """Return the number of the candidate's version, which is made if there is none."""
    from mlflow.exceptions import MlflowException

    client = registry.client
    candidate = _known(registry, candidate, run)
    if registry._registered() is None:
        try:
            client.create_registered_model(registry.name, description=registry.settings.config.description or None)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    model_id = candidate["model_uri"].removeprefix("models:/")
    for version in client.search_model_versions(f"name='{registry.name}'"):
        if version.run_id == candidate["run_id"]:
            return str(version.version)
    folder = run.path("model") if run is not None and run.has("model") else registry.folder(candidate)
    sha256 = model_files.pipeline_sha256(folder)
    if candidate.get("sha256"):
        model_files.check_sha256(folder, candidate["sha256"])
    card = folder / model_files.FILES / "model_card.md"
    model_version = client.create_model_version(
        registry.name,
        source=client.get_logged_model(model_id).artifact_location,
        run_id=candidate["run_id"],
        model_id=model_id,
        # MLflow's own field for it is empty when a version is read back from SQL.
        tags={MODEL_ID: model_id, model_files.SHA256_TAG: sha256, **(_tags(run) if run else {})},
        description=card.read_text(encoding="utf-8") if card.is_file() else None,
    )
    return str(model_version.version)


def _known(registry: "Registry", candidate: Mapping[str, Any], run: "Run | None") -> Mapping[str, Any]:
    """Return the candidate as the store knows it; one of another store is logged anew from the run's artifacts."""
    model_id = str(candidate.get("model_uri") or "").removeprefix("models:/")
    if model_id and _is_stored(registry, model_id):
        return candidate
    if run is None or not run.has("model"):
        raise ModelError(
            f"The tracking store does not know the candidate {model_id or '(logged by hand)'}, and no run holds its "
            "folder `model`. Train again: `quire run --stages train,evaluate --fresh`."
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(run.path("model"), Path(scratch) / "model"))
        logged = _log(
            registry, run, folder, params=candidate.get("params") or {}, metrics=candidate.get("metrics") or {},
            trials=run.load("trials") if run.has("trials") else None,
            dataset=run.load("manifest") if run.has("manifest") else {}, figures=None, tags=_tags(run),
        )  # fmt: skip
    return {**candidate, **logged}


def _is_stored(registry: "Registry", model_id: str) -> bool:
    """Whether the store knows a logged model, and, where it keeps files on this machine, still has them."""
    from mlflow.exceptions import MlflowException

    try:
        location = registry.client.get_logged_model(model_id).artifact_location
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return False
        raise
    return not location.startswith("file://") or (registry.folder(location) / model_files.PIPELINE).is_file()


def add_evaluation(registry: "Registry", number: str, metrics: Mapping[str, float], files: Mapping[str, Path]) -> None:
    """Keep what the evaluation found with a version: metrics as ``test_*`` of its run, files beside the model."""
    client = registry.client
    version = client.get_model_version(registry.name, number)
    if metrics and version.run_id:
        _log_values(client, version.run_id, {}, {f"test_{name}": value for name, value in metrics.items()})
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in files.items():
            shutil.copyfile(path, Path(scratch) / name)
        if files:
            client.log_model_artifacts(version.tags[MODEL_ID], scratch, model_files.FILES)


def log_run(registry: "Registry", record: Mapping[str, Any], folder: Path) -> str:
    """Log a workflow run; see `Registry.log_run`."""
    client = registry.client
    experiment = experiment_id(client, registry.settings)
    mlflow_runs = client.search_runs([experiment], f"tags.`{RUN_ID}` = '{record['run_id']}'", max_results=1000)
    parent = next(
        (mlflow_run.info.run_id for mlflow_run in mlflow_runs if mlflow_run.data.tags.get(KIND) == "workflow"), None
    )
    tags = {RUN_ID: record["run_id"], KIND: "workflow", "quire.status": record["status"]}
    tag_keys = ("params", "workflow", "as_of", "commit", "user", "try")
    tags |= {f"quire.{key}": str(record[key]) for key in tag_keys if record.get(key)}
    tags |= {USER: record["user"]} if record.get("user") else {}
    tags |= {"mlflow.note.content": f"Experiment: {record['try']}"} if record.get("try") else {}
    if parent is None:
        name = f"{'try' if record.get('try') else record['workflow']} {record['run_id']}"
        parent = client.create_run(experiment, _ms(record.get("started_at")), tags, name).info.run_id
    else:
        for key, value in tags.items():
            client.set_tag(parent, key, value)
    for mlflow_run in mlflow_runs:
        if mlflow_run.info.run_id != parent and "mlflow.parentRunId" not in mlflow_run.data.tags:
            client.set_tag(mlflow_run.info.run_id, "mlflow.parentRunId", parent)
    _log_values(client, parent, {}, _stage_numbers(record, folder))
    for name in ("notebooks", "reports"):
        if (folder / name).is_dir():
            client.log_artifacts(parent, str(folder / name), name)
    for name in ("index.html", "run.json"):
        if (folder / name).is_file():
            client.log_artifact(parent, str(folder / name))
    client.set_terminated(parent, ENDINGS.get(record["status"], "FINISHED"), _ms(record.get("finished_at")))
    return parent


def _ms(moment: str | None) -> int | None:
    """Return an ISO 8601 time in milliseconds, as MLflow has them: a run may be logged long after it ended."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000) if moment else None


def _stage_numbers(record: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """Return each stage's seconds, and the metrics of its answer."""
    numbers: dict[str, float] = {}
    for name, stage in record.get("stages", {}).items():
        if _is_number(stage.get("seconds")):
            numbers[f"{name}.seconds"] = stage["seconds"]
        answer = folder / "artifacts" / name / "_answer.json"
        if answer.is_file():
            metrics = json.loads(answer.read_text(encoding="utf-8")).get("metrics") or {}
            numbers |= {f"{name}.{metric}": value for metric, value in metrics.items()}
    return numbers


def _tags(run: "Run") -> dict[str, str]:
    tags = {RUN_ID: run.run_id, "quire.params": run.settings.name, "quire.stage": run.stage}
    tags |= {"quire.try": run.note} if run.note else {}
    return tags | ({"quire.as_of": run.as_of.isoformat()} if run.as_of else {})


def _schema_file(run: "Run", scratch: Path) -> Path:
    path = scratch / "schema.json"
    path.write_text(run.settings.schema.model_dump_json(indent=2), encoding="utf-8")
    return path


def _drawn(figures: Mapping[str, Any], scratch: Path) -> Path | None:
    """Return a folder with each figure as PNG, or None if there are none."""
    if not figures:
        return None
    folder = scratch / "figures"
    folder.mkdir()
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", facecolor="white", bbox_inches="tight", dpi=120)
    return folder


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if value is not None and math.isfinite(value)}


def _texts(params: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)
        for name, value in params.items()
    }
