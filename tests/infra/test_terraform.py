"""The plan, read: nothing is public, everything is encrypted, watched and ends."""

import importlib.util
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from quire import config
from quire.flow import publish
from quire.io import alarms, notify, storage
from quire.monitor.publication import TITLES

ROOT = Path(__file__).parents[2]


def of(plan, kind):
    found = {address: one["values"] for address, one in plan.items() if one["type"] == kind}
    assert found, f"the plan holds no {kind}"
    return found


def test_the_files_are_formatted(stack):
    done = stack.terraform("fmt", "-check", "-recursive", "-diff", check=False)
    differing = [line for line in done.stdout.splitlines() if line.startswith("+++") and "test_override" not in line]
    assert differing == []


def test_the_configuration_is_valid(stack):
    assert json.loads(stack.terraform("validate", "-json").stdout)["valid"]


NO_PASSWORD = """
variable "value" {
  default   = "NotUsedAnywhere0"
  ephemeral = true
}

output "value" {
  value     = var.value
  ephemeral = true
}
"""


def test_the_rules_of_its_own_tests_hold(stack, tmp_path):
    copy = replace(stack, folder=tmp_path / "aws")
    shutil.copytree(
        stack.folder, copy.folder, symlinks=True, ignore=shutil.ignore_patterns("*.tfstate*", "*.tfplan", "*.auto.*")
    )
    (copy.folder / "password" / "main.tf").write_text(NO_PASSWORD)
    done = copy.terraform("test", "-no-color", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Success! [1-9]\d* passed, 0 failed", done.stdout)


def test_nothing_has_a_public_address(plan):
    for values in of(plan, "aws_subnet").values():
        assert values["map_public_ip_on_launch"] is not True
    for values in of(plan, "aws_launch_template").values():
        assert not values["network_interfaces"]  # the subnets decide
    for values in of(plan, "aws_instance").values():
        assert values["associate_public_ip_address"] is False
    for values in of(plan, "aws_db_instance").values():
        assert values["publicly_accessible"] is False
    settings = [s for values in of(plan, "aws_elastic_beanstalk_environment").values() for s in values["setting"]]
    schemes = {s["value"] for s in settings if s["name"] == "ELBScheme"}
    assert schemes == {"internal"}


def test_nothing_comes_in_from_the_internet(plan):
    rules = of(plan, "aws_vpc_security_group_ingress_rule")
    assert {values["cidr_ipv4"] for values in rules.values()} <= {None, "10.40.0.0/16"}
    assert all(values["cidr_ipv6"] is None for values in rules.values())
    for values in of(plan, "aws_security_group").values():
        assert not values.get("ingress")


def test_runner_and_notebook_let_nothing_in(stack, plan):
    names = [name for name in plan if name.startswith("aws_vpc_security_group_ingress_rule")]
    targets = {re.search(r"\.(\w+)", name)[1] for name in names}
    assert targets == {"database", "mlflow", "clients", "web"}


def test_what_goes_out_is_encrypted(plan):
    for address, values in of(plan, "aws_vpc_security_group_egress_rule").items():
        if values["cidr_ipv4"] == "0.0.0.0/0":
            assert (values["from_port"], values["to_port"]) == (443, 443), address


def test_buckets_are_closed_versioned_and_kept(plan):
    blocks = of(plan, "aws_s3_bucket_public_access_block")
    assert len(blocks) == len(of(plan, "aws_s3_bucket"))
    for values in blocks.values():
        assert all(values[name] for name in values if name.startswith(("block_", "ignore_", "restrict_")))
    for values in of(plan, "aws_s3_bucket_versioning").values():
        assert values["versioning_configuration"][0]["status"] == "Enabled"
    assert len(of(plan, "aws_s3_bucket_lifecycle_configuration")) == 2


def test_instances_take_only_the_second_metadata_service(plan):
    for kind in ("aws_launch_template", "aws_instance"):
        for values in of(plan, kind).values():
            assert values["metadata_options"][0]["http_tokens"] == "required"
            assert values["metadata_options"][0]["http_put_response_hop_limit"] == 1
    for values in of(plan, "aws_elastic_beanstalk_environment").values():
        assert ("DisableIMDSv1", "true") in {(s["name"], s.get("value")) for s in values["setting"]}


def test_disks_and_database_are_encrypted(plan):
    for values in of(plan, "aws_db_instance").values():
        assert values["storage_encrypted"]
        assert values["backup_retention_period"] >= 7
    for values in of(plan, "aws_launch_template").values():
        assert values["block_device_mappings"][0]["ebs"][0]["encrypted"] == "true"
    for values in of(plan, "aws_instance").values():
        assert values["root_block_device"][0]["encrypted"]


def test_a_runner_takes_the_subnet_that_it_is_started_in(plan, stack):
    # EC2: "Network interfaces and an instance-level subnet ID may not be specified on the same request".
    assert not any(values["network_interfaces"] for values in of(plan, "aws_launch_template").values())
    configuration = json.loads(stack.terraform("show", "-json", "all.tfplan").stdout)["configuration"]["root_module"]
    (template,) = [one for one in configuration["resources"] if one["type"] == "aws_launch_template"]
    assert "each.value.group" in template["expressions"]["vpc_security_group_ids"]["references"]


def test_a_runner_ends_itself(plan):
    for values in of(plan, "aws_launch_template").values():
        assert values["instance_initiated_shutdown_behavior"] == "terminate"


def test_somebody_gets_every_alarm(plan, stack):
    configuration = json.loads(stack.terraform("show", "-json", "all.tfplan").stdout)["configuration"]["root_module"]
    alarms = [one for one in configuration["resources"] if one["type"] == "aws_cloudwatch_metric_alarm"]
    for alarm in alarms:
        for action in ("alarm_actions", "ok_actions"):
            assert "aws_sns_topic.alerts.arn" in alarm["expressions"][action]["references"], alarm["address"]
    assert of(plan, "aws_sns_topic_subscription")


@pytest.mark.parametrize("kind", ["run-failed", "run-overlong", "run-missing"])
def test_every_schedule_has_its_alarms(plan, kind):
    schedules = {values["name"] for values in of(plan, "aws_scheduler_schedule").values()}
    names = {values["alarm_name"] for values in of(plan, "aws_cloudwatch_metric_alarm").values()}
    assert {f"quire-staging-{kind}-{name}" for name in schedules} <= names


def test_a_run_that_is_missing_rings_when_nothing_is_heard(plan):
    for values in of(plan, "aws_cloudwatch_metric_alarm").values():
        if "run-missing" in values["alarm_name"]:
            assert values["treat_missing_data"] == "breaching"


@pytest.fixture
def told(aws, monkeypatch):
    """All figures that reach CloudWatch, by name and dimensions, when every part has told its own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    environment = {"QUIRE_NAMESPACE": "Quire/staging", "QUIRE_ALERTS": "cloudwatch"}
    settings = config.load("demo", root=ROOT, environment=environment)
    section = settings.config.alerts.model_copy(update={"endpoint_url": aws})
    settings = replace(settings, config=settings.config.model_copy(update={"alerts": section}))
    for workflow in ("score", "train"):
        publish.send_figures(settings, {"status": "failed", "seconds": 1.0, "workflow": workflow})
    for kind, title in TITLES.items():
        notify.send(notify.Alert(kind, title), settings)
    s3, watch = storage.client("s3", aws), load_function("watch")
    s3.create_bucket(Bucket="archive", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for workflow in ("score", "train"):
        s3.put_object(Bucket="archive", Key=f"status/demo/{workflow}.json", Body=b"{}")
    watched = json.dumps([["demo", "score"], ["demo", "train"]])
    for name, value in {"STACK": "x", "BUCKET": "archive", "MAX_HOURS": "5", "WATCHED": watched}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NAMESPACE", "Quire/staging")
    watch.handler({}, None)
    alarms.make(settings)
    cloudwatch = storage.client("cloudwatch", aws)
    put = cloudwatch.list_metrics(Namespace="Quire/staging")["Metrics"]
    return {(one["MetricName"], pairs(one["Dimensions"])) for one in put}, cloudwatch.describe_alarms()["MetricAlarms"]


def load_function(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "infra" / "aws" / "functions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pairs(dimensions):
    return frozenset((one["Name"], one["Value"]) for one in dimensions)


def test_every_alarm_looks_at_a_figure_that_somebody_sends(plan, told):
    figures, put = told
    ours = [one for one in of(plan, "aws_cloudwatch_metric_alarm").values() if one["namespace"] == "Quire/staging"]
    looked_at = {one["alarm_name"]: (one["metric_name"], frozenset((one["dimensions"] or {}).items())) for one in ours}
    looked_at |= {one["AlarmName"]: (one["MetricName"], pairs(one["Dimensions"])) for one in put}
    assert {name: what for name, what in looked_at.items() if what not in figures} == {}
    assert len(ours) >= 10
    assert len(put) == 5


def test_every_kind_of_finding_has_an_alarm_with_terraform_and_without(plan, told):
    kinds = {
        (values["dimensions"] or {}).get("Kind") for values in of(plan, "aws_cloudwatch_metric_alarm").values()
    } - {None}
    assert kinds == set(TITLES) == set(alarms.KINDS)


def test_a_schedule_tries_again_and_then_tells(plan):
    for values in of(plan, "aws_scheduler_schedule").values():
        target = values["target"][0]
        assert target["retry_policy"][0]["maximum_retry_attempts"] > 0
        assert "dead_letter_config" in target


def test_logs_do_not_stay_for_ever(plan):
    assert all(values["retention_in_days"] == 365 for values in of(plan, "aws_cloudwatch_log_group").values())


def test_no_secret_is_in_the_plan(stack, plan):
    text = stack.terraform("show", "-json", "all.tfplan").stdout
    for login in ("quire", "quire_runner", "quire_service", "quire_dashboard", "quire_notebook", "mlflow"):
        assert f"postgresql+psycopg://{login}:" not in text
    for values in of(plan, "aws_db_instance").values():
        assert not values.get("password")


def test_checkov_finds_nothing():
    if shutil.which("checkov") is None:
        pytest.skip("checkov is missing: `uv tool install checkov` (it does not fit beside boto3)")
    folder = ROOT / "infra" / "aws"  # with its defaults, not with what the tests set
    config = folder / ".checkov.yaml"
    done = subprocess.run(
        ["checkov", "--directory", str(folder), "--config-file", str(config), "--quiet", "--compact"],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-5000:]
