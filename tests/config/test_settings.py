import shutil
from pathlib import Path

import pytest

from quire import config
from quire.errors import ConfigError

ROOT = Path(__file__).parents[2]
FILES = {
    "config.yaml": "source: {kind: demo, hours: 48}\n",
    "schema.yaml": "task: regression\ncolumns:\n  temp: {type: number}\n  cnt: {type: integer, role: target}\n",
    "params.yaml": "train:\n  search: {trials: 3}\n",
}


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "params" / "shop"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "params" / "workflow.yaml", tmp_path / "params")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return tmp_path


def load(project, name="shop", environment=None, **files):
    for file, text in files.items():
        (project / "params" / "shop" / f"{file}.yaml").write_text(text)
    return config.load(name, root=project, environment=environment or {})


@pytest.mark.parametrize("name", ["shop", "params/shop", "params/shop/"])
def test_a_use_case_is_found_by_its_name_or_its_folder(project, name):
    assert load(project, name).name == "shop"


def test_an_unknown_use_case_is_told_with_the_nearest(project):
    with pytest.raises(ConfigError, match=r"known: shop\. Did you mean 'shop'\? `quire init shpo`"):
        load(project, "shpo")


@pytest.mark.parametrize("name", config.use_cases(ROOT))
def test_every_shipped_use_case_loads(name):
    assert config.load(name, root=ROOT, environment={}).schema.features


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "config",
            "source: {kind: cvs, path: x}",
            r"config\.yaml:1: source\.kind is 'cvs'; expected one of demo, csv.*Did you mean 'csv'",
        ),
        ("config", "source: {kind: csv, pth: x}", r"pth is not a known key.*Did you mean 'path'"),
        ("config", "source: {kind: demo, hours: 0}", "hours is 0; expected greater than or equal to 1"),
        ("config", "source: {kind: demo}\nas_of: soon", r"config\.yaml:2: as_of is 'soon'; 'soon' is not a date"),
        ("config", "source: {kind: demo}\narchive: {url: 'http://x'}", r"archive\.url is 'http://x'"),
        ("schema", "task: regresion\ncolumns: {y: {type: number, role: target}}", "Did you mean 'regression'"),
        (
            "schema",
            "task: regression\ncolumns:\n  x: {type: nmber}\n",
            r"columns\.x\.type is 'nmber'.*Did you mean 'number'",
        ),
        (
            "schema",
            "task: regression\ncolumns:\n  x: {type: number, minimum: 2, maximum: 1}",
            r"schema\.yaml:3: columns\.x.*impossible range",
        ),
        ("schema", FILES["schema.yaml"] + "label_delay: 7\n", "label_delay is 7"),
        ("schema", FILES["schema.yaml"] + "label_delay: week\n", "'week' is not a length of time"),
        (
            "params",
            "train:\n  search: {trails: 3}\n",
            r"params\.yaml:2: train\.search\.trails is not a known key.*Did you mean 'trials'",
        ),
        ("params", "train: 3\n", r"params\.yaml:1: train is 3"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(project, file, text, message):
    with pytest.raises(ConfigError, match=message):
        load(project, **{file: text})


def test_a_known_form_is_checked_when_given_on_the_command_line():
    config.check_value("search", {"trials": 3}, where="-p train.search")
    config.check_value("anything", {"x": 3}, where="-p train.anything")
    with pytest.raises(ConfigError, match=r"-p train\.search:1: trails is not a known key"):
        config.check_value("search", {"trails": 3}, where="-p train.search")


def test_the_root_is_found_from_below_and_can_be_set(project, monkeypatch):
    monkeypatch.delenv("QUIRE_ROOT", raising=False)
    below = project / "notebooks" / "deep"
    below.mkdir(parents=True)
    assert config.find_root(below) == project
    monkeypatch.setenv("QUIRE_ROOT", str(ROOT))
    assert config.find_root(below) == ROOT


def test_the_digest_is_that_of_what_the_files_say_not_of_their_remarks_or_secrets(project):
    text = "source: {kind: http, url: '${URL}'}\n"
    one = load(project, config=text, environment={"URL": "https://a"})
    other = load(project, config="# a remark\n" + text, environment={"URL": "https://b"})
    assert one.digest("config") == other.digest("config")
    assert one.digest("config") != load(project, config="source: {kind: demo}\n").digest("config")


def test_secrets_do_not_show(project):
    text = "source: {kind: sql, url: '${URL}', query: SELECT 1}\ndatabase: ${DB}\n"
    settings = load(project, config=text, environment={"URL": "x://u:hunter2@h", "DB": "sqlite:///hunter3"})
    assert "hunter" not in repr(settings)
    assert settings.database_url == "sqlite:///hunter3"


def test_outputs_tracking_and_alias_follow_the_environment(project, monkeypatch):
    settings = load(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("QUIRE_OUTPUTS", raising=False)
    monkeypatch.delenv("QUIRE_ALIAS", raising=False)
    assert settings.outputs == project / "outputs"
    assert settings.tracking_uri == f"sqlite:///{project}/outputs/mlflow.db"
    assert (settings.model_name, settings.experiment, settings.alias) == ("shop", "shop", "champion")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("QUIRE_ALIAS", "backfill")
    assert (settings.tracking_uri, settings.alias) == ("http://127.0.0.1:5000", "backfill")


def test_channels_of_alerts_may_come_from_the_environment(project):
    config = "source: {kind: demo}\nalerts: {channels: '${QUIRE_ALERTS:-log}'}\n"
    assert load(project, config=config).config.alerts.channels == ("log",)
    found = load(project, config=config, environment={"QUIRE_ALERTS": "log,sns, cloudwatch"})
    assert found.config.alerts.channels == ("log", "sns", "cloudwatch")


def test_a_channel_that_is_none_is_named(project):
    config = "source: {kind: demo}\nalerts: {channels: '${QUIRE_ALERTS:-log}'}\n"
    with pytest.raises(ConfigError, match=r"config\.yaml:2: alerts\.channels is .*; expected .log., .sns."):
        load(project, config=config, environment={"QUIRE_ALERTS": "log mail"})


@pytest.mark.parametrize("name", config.use_cases(ROOT))
def test_a_shipped_use_case_stays_on_this_machine_until_the_environment_says_otherwise(name):
    alone = config.load(name, root=ROOT, environment={}).config
    assert (alone.archive.url, alone.alerts.channels) == ("", ("log",))
    there = {
        "QUIRE_ARCHIVE": "s3://bucket/quire",
        "QUIRE_ALERTS": "log,sns,cloudwatch",
        "QUIRE_ALERTS_TOPIC": "arn:aws:sns:eu-west-1:123456789012:alerts",
        "QUIRE_NAMESPACE": "Quire/prod",
    }
    told = config.load(name, root=ROOT, environment=there).config
    assert told.archive.url == "s3://bucket/quire"
    assert told.alerts.channels == ("log", "sns", "cloudwatch")
    assert (told.alerts.sns_topic, told.alerts.namespace) == (there["QUIRE_ALERTS_TOPIC"], "Quire/prod")


@pytest.mark.parametrize("name", ["50% é x", "a#b", "x;y", "[z]", "it's", 'a "b" c', "a&b=c", "{x}", "$HOME", "ü 漢"])
def test_odd_names_of_folders_are_well(tmp_path, name):
    assert config.folder_problem(tmp_path / name, tmp_path / name / "outputs") == ""


@pytest.mark.parametrize(("name", "sign"), [("what? now", "?"), ("a%2Fb", "%2F"), ("a:b", ":"), ("a\nb", r"\n")])
def test_a_name_that_an_address_cannot_hold_is_refused_by_its_sign(tmp_path, name, sign):
    assert f"holds {sign!r}".replace(r"\\", "\\") in config.folder_problem(tmp_path / name, tmp_path / name / "outputs")
