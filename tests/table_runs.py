"""One generated table through `quire init` and all stages, in this process, and what came of it."""

import contextlib
import io
import json
import re
import shutil
import sqlite3
import time
import traceback
import warnings
from dataclasses import dataclass

import pandas as pd
from tests.use_cases import ROOT, UseCase

from quire import redaction
from quire.cli.init import init
from quire.cli.models import promote
from quire.errors import QuireError

NAME = "table"
RUN_ID, SECOND_RUN_ID = "20260105T000000-aaaa", "20260112T000000-bbbb"
LENIENT = {"min_test_rows": 1, "min_positives": 1, "min_class_rows": 0, "max_rule_breaks": 1.0}
"""Few rows may make a champion, so that the stages behind the gate meet small tables as well."""

REMEDY = re.compile(
    r"(?:^|[.:;,?!]\s+|\s(?:and|or|then|instead)\s)`?(?:please )?(?:Add|Ask|Bring|Check|Choose|Convert|Delete|Download|"
    r"Expected|Export|Fill|Give|Install|Leave|List|Lower|Make|Mark|Mend|Name|Pass|Point|Put|Raise|Read|Remove|Rename|Repeat|"
    r"Run|Save|Say|See|Set|Shorten|Split|Take|Train|Unpack|Use|Wait|Write|quire)\b",
    re.IGNORECASE,
)
"""Something that a person is told to do: a clause that begins with a verb in the imperative."""

NOT_A_NUMBER = re.compile(r"(?<![\w.])(nan|NaN|NaT|inf|None|<NA>)(?![\w.])")


OF_MLFLOW = ("input_example.json", "serving_input_example.json")
"""Files in which MLflow itself writes values that are missing as NaN."""


def names_remedy(message):
    """Return whether an error's text says what to do."""
    return bool(REMEDY.search(message))


@dataclass(frozen=True)
class Outcome:
    """What came of a table: ok (also promoted by hand), refused or failed; in which stage (or init), and why."""

    kind: str
    stage: str = ""
    reason: str = ""
    details: str = ""
    seconds: float = 0.0

    @property
    def group(self):
        """The reason without what differs from table to table: values in quotes and numbers."""
        text = re.sub(
            r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "'..'", self.reason.splitlines()[0] if self.reason else ""
        )
        return re.sub(r"\S*/\S+|[\d.,]*\d", "#", text)[:150]


def run_table(recipe, folder, store, *, displays=True, insists=True):
    """Return the outcome of a table in a new folder.

    store: an empty MLflow store, to be copied. displays: whether the charts are drawn. insists: whether a candidate
    that the gate refuses is promoted by hand, so that it predicts and is monitored. Each takes a third of the time.
    """
    started = time.monotonic()
    outcome = _run(recipe, _make_case(folder, store, displays), insists)
    return Outcome(outcome.kind, outcome.stage, outcome.reason, outcome.details, time.monotonic() - started)


def _make_case(folder, store, displays):
    (folder / "params").mkdir(parents=True)
    shutil.copy(ROOT / "params" / "workflow.yaml", folder / "params")
    (folder / "notebooks").symlink_to(ROOT / "notebooks")
    for name in ("data", "outputs"):
        (folder / name).mkdir()
    shutil.copy(store, folder / "outputs" / "mlflow.db")
    return UseCase(NAME, folder, overrides={"gate": LENIENT}, displays=displays)


def _run(recipe, case, insists):
    redaction.forget()
    folder, printed = case.root / "params" / NAME, io.StringIO()
    stage = "init"
    with case.environment(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            init.main(_arguments(recipe, recipe.write(case.root / "data")), standalone_mode=False)
            stage = ""
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                executed = case.run("train", RUN_ID, as_of="")
                verdict = json.loads((executed.folder / "artifacts" / "evaluate" / "verdict.json").read_text("utf-8"))
                if insists and not verdict["promoted"]:
                    promote.main([NAME, "--run", RUN_ID, "--force"], standalone_mode=False)
                    case.run("score", SECOND_RUN_ID, as_of="")
        except QuireError as error:
            stage = stage or _stage_under_way(case)
            if stage == "init" and folder.exists():
                return Outcome("failed", stage, f"The folder is there after: {error}")
            if not names_remedy(str(error)):
                return Outcome("failed", stage, f"No remedy is named: {error}", traceback.format_exc())
            return Outcome("refused", stage, str(error))
        except Exception as error:
            stage = stage or _stage_under_way(case)
            return Outcome("failed", stage, f"{type(error).__name__}: {error}", traceback.format_exc())
    problem = _problem(executed, case, recipe)
    if problem:
        return Outcome("failed", "records", problem)
    if verdict["promoted"]:
        return Outcome("ok")
    return Outcome("ok, promoted by hand" if insists else "ok, not promoted", "evaluate", verdict["headline"])


def _arguments(recipe, path):
    names = [column.name for column in recipe.columns]
    arguments = [NAME, "--from", str(path)]
    for option in ("target", "timestamp"):
        place = getattr(recipe, option)
        # What stands above no column cannot be named.
        if place is not None and names[place].strip() and recipe.edge != "no header":
            arguments.append(f"--{option}={names[place]}")
    return arguments


def _stage_under_way(case):
    runs = sorted((case.root / "outputs" / "runs").glob("*/run.json"))
    stages = json.loads(runs[-1].read_text("utf-8"))["stages"] if runs else {}
    under_way = next((name for name, stage in stages.items() if stage["status"] == "running"), "between stages")
    return f"{under_way} by hand" if len(runs) > 1 else under_way


def _problem(executed, case, recipe):
    """Return what is wrong with what the run wrote: a value that is no number, in a record, a sentence or a table."""
    runs = executed.folder.parent
    for path in sorted(runs.rglob("*.json")):
        if path.name in OF_MLFLOW:
            continue
        try:
            document = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
        except ValueError as error:
            return f"{path.name}: {error}"
        if path.name == "_answer.json" and not _has_such_words(recipe) and (match := _in_sentences(document)):
            return f"{path.parent.name}/{path.name} says {match}"
    for path in runs.rglob("predictions.parquet"):
        frame = pd.read_parquet(path)
        if "prediction" in frame and frame["prediction"].isna().any():
            return f"{path.name} holds {int(frame['prediction'].isna().sum())} predictions that are missing"
    with contextlib.closing(sqlite3.connect(case.root / "outputs" / "mlflow.db")) as database:
        undefined = database.execute("SELECT DISTINCT key FROM metrics WHERE is_nan").fetchall()
    return f"metrics of MLflow are NaN: {undefined}" if undefined else ""


def _refuse(word):
    raise ValueError(f"the record holds {word}")


def _in_sentences(document):
    texts = [document] if isinstance(document, str) else []
    children = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    for child in children:
        if match := _in_sentences(child):
            return match
    return next((repr(text[:300]) for text in texts if NOT_A_NUMBER.search(text)), "")


def _has_such_words(recipe):
    """Whether the table itself holds words such as nan, or infinite values, which sentences may quote."""
    frame = recipe.frame()
    values = (value for place in range(frame.shape[1]) for value in frame.iloc[:, place].dropna())
    return any(NOT_A_NUMBER.search(str(value)) for value in (*frame.columns, *values))
