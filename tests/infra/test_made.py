"""What Terraform makes: roles of least privilege, user data that starts a run, an environment that turns channels on.

Least privilege is read from the policies, and tried with moto's enforcement. moto weighs resources for
S3 only and takes every other call as one on ``*``; so what is allowed elsewhere is read, and what is refused is tried.
"""

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

# AWS knows no resources for these, so "*" is all that can be written: the Service Authorization Reference says so.
WITHOUT_RESOURCES = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeNotificationConfigurations",
    "autoscaling:DescribeScalingActivities",
    "cloudwatch:PutMetricData",
    "ec2:DescribeInstanceStatus",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeSecurityGroups",
    "ecr:GetAuthorizationToken",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


def listed(value):
    return value if isinstance(value, list) else [value]


def policies(made):
    found = {a: json.loads(values["policy"]) for a, values in made.items() if a.startswith("aws_iam_role_policy.")}
    assert len(found) >= 11
    return found


def test_no_role_may_do_everything(made):
    for address, policy in policies(made).items():
        for statement in policy["Statement"]:
            for action in listed(statement["Action"]):
                assert "*" not in action, f"{address}: {action}"


def test_no_role_may_touch_everything(made):
    for address, policy in policies(made).items():
        for statement in policy["Statement"]:
            if "*" in listed(statement["Resource"]):
                assert set(listed(statement["Action"])) <= WITHOUT_RESOURCES, f"{address}: {statement['Sid']}"


def test_figures_go_into_our_namespace_only(made):
    for policy in policies(made).values():
        for statement in policy["Statement"]:
            if "cloudwatch:PutMetricData" in listed(statement["Action"]):
                assert statement["Condition"]["StringEquals"]["cloudwatch:namespace"] == "Quire/staging"


def test_every_role_is_taken_by_one_part_only(made):
    for address, values in made.items():
        if address.startswith("aws_iam_role."):
            for statement in json.loads(values["assume_role_policy"])["Statement"]:
                assert statement["Principal"] not in ("*", {"AWS": "*"}), address
                assert len(statement["Principal"]) == 1


def test_github_is_believed_for_one_repository_and_environment(made):
    (statement,) = json.loads(made["aws_iam_role.release[0]"]["assume_role_policy"])["Statement"]
    conditions = statement["Condition"]["StringEquals"]
    assert conditions["token.actions.githubusercontent.com:sub"] == "repo:example/quire:environment:staging"
    assert conditions["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"


def test_nobody_has_a_static_key(made):
    assert not [address for address in made if address.startswith(("aws_iam_access_key", "aws_iam_user"))]


@contextmanager
def enforced(url):
    """Let moto check every call's permission."""

    def tell(number):
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{url}/moto-api/reset-auth", data=str(number).encode(), headers=plain)
        urllib.request.urlopen(request, timeout=10).read()

    tell(0)
    try:
        yield
    finally:
        tell("inf")


@pytest.fixture
def as_role(stack, made):
    """Return clients that act as one of the roles, while every call is checked."""

    def act(role):
        arn = made[f"aws_iam_role.{role}"]["arn"]
        keys = stack.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        credentials = {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }
        return lambda service: stack.client(service, **credentials)

    return act


def allows(made, role, action, resource):
    """Whether a statement of the role's policy names the action and the resource."""
    return any(
        action in listed(statement["Action"]) and any(fnmatch(resource, one) for one in listed(statement["Resource"]))
        for statement in json.loads(made[f"aws_iam_role_policy.{role}"]["policy"])["Statement"]
        if statement["Effect"] == "Allow"
    )


def refused(call, **arguments):
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_the_runner_may_do_its_work_and_no_more(stack, made, as_role):
    bucket, topic = made["aws_s3_bucket.archive"]["id"], made["aws_sns_topic.alerts"]["arn"]
    assert allows(made, "runner", "sns:Publish", topic)
    assert allows(made, "runner", "ssm:GetParameter", made["aws_ssm_parameter.image"]["arn"])
    client = as_role("runner")
    with enforced(stack.url):
        client("s3").put_object(Bucket=bucket, Key="quire/runs/1/run.json", Body=b"{}")
        client("s3").get_object(Bucket=bucket, Key="quire/runs/1/run.json")
        client("s3").put_object(Bucket=bucket, Key="status/demo/score.json", Body=b"{}")
        assert refused(client("s3").put_object, Bucket=bucket, Key="releases/1.zip", Body=b"")
        assert refused(client("s3").get_object, Bucket=bucket, Key="mlflow/1/model.pkl")
        assert refused(client("s3").list_buckets)
        assert refused(client("ec2").terminate_instances, InstanceIds=["i-12345678901234567"])
        assert refused(client("ec2").describe_instances)
        assert refused(client("iam").list_roles)
        assert refused(client("sns").create_topic, Name="another")
        assert refused(
            client("ssm").put_parameter, Name=made["aws_ssm_parameter.image"]["name"], Value="x", Type="String"
        )


def test_the_dashboard_reads_runs_and_writes_nothing(stack, made, as_role):
    bucket = made["aws_s3_bucket.archive"]["id"]
    stack.client("s3").put_object(Bucket=bucket, Key="quire/runs/2/run.json", Body=b"{}")
    client = as_role('web["dashboard"]')
    with enforced(stack.url):
        client("s3").get_object(Bucket=bucket, Key="quire/runs/2/run.json")
        assert refused(client("s3").put_object, Bucket=bucket, Key="quire/runs/2/run.json", Body=b"")
        assert refused(client("secretsmanager").list_secrets)
        assert refused(client("sns").publish, TopicArn=made["aws_sns_topic.alerts"]["arn"], Message="hello")


def test_only_the_setup_reads_the_password_of_the_owner(made):
    owner = made['aws_secretsmanager_secret.database["owner"]']["arn"]
    readers = {
        address.removeprefix("aws_iam_role_policy.")
        for address in policies(made)
        if allows(made, address.removeprefix("aws_iam_role_policy."), "secretsmanager:GetSecretValue", owner)
    }
    assert readers == {"setup"}


@pytest.mark.parametrize("part", ["runner", "notebook[0]", 'web["service"]', 'web["dashboard"]', 'web["mlflow"]'])
def test_a_part_reads_the_password_of_its_own_role_only(made, part):
    action, own = "secretsmanager:GetSecretValue", re.sub(r'web\["(\w+)"\]|\[0\]', r"\1", part)
    readable = {
        name
        for name in ("owner", "runner", "notebook", "service", "dashboard", "mlflow")
        if allows(made, part, action, made[f'aws_secretsmanager_secret.database["{name}"]']["arn"])
    }
    assert readable == {own}


def test_a_release_changes_the_image_and_nothing_of_the_data(stack, made, as_role):
    bucket, image = made["aws_s3_bucket.archive"]["id"], made["aws_ssm_parameter.image"]["arn"]
    assert allows(made, "release[0]", "ssm:PutParameter", image)
    assert allows(made, "release[0]", "ecr:PutImage", made["aws_ecr_repository.this"]["arn"])
    client = as_role("release[0]")
    with enforced(stack.url):
        client("s3").put_object(Bucket=bucket, Key="releases/service-1.2.3.zip", Body=b"")
        assert refused(client("s3").get_object, Bucket=bucket, Key="quire/runs/1/run.json")
        assert refused(client("secretsmanager").list_secrets)
        assert refused(client("ec2").describe_vpcs)
        assert refused(client("iam").list_users)


def test_cloud_init_is_given_what_it_knows(made):
    import base64

    yaml = pytest.importorskip("yaml")
    text = base64.b64decode(made['aws_launch_template.this["runner"]']["user_data"]).decode()
    assert text.startswith("#cloud-config\n")
    assert len(text) < 16 * 1024, "EC2 takes no more"
    content = yaml.safe_load(text)
    assert set(content) == {"packages", "write_files", "runcmd"}
    for file in content["write_files"]:
        assert set(file) <= {"path", "permissions", "content"}
        assert file["path"].startswith("/")
    assert all(isinstance(command, list) for command in content["runcmd"])
    environment = next(file["content"] for file in content["write_files"] if file["path"] == "/etc/quire/boot.env")
    assert "BOOT_BUCKET=quire-staging-archive-123456789012\n" in environment
    assert "password" not in text.lower().replace("get-login-password", "").replace("--password-stdin", "")


LARGEST_USER_DATA = 16_384
"""Bytes that EC2 takes, before base64."""


@pytest.fixture(scope="session")
def user_data(stack, made):
    """What cloud-init of runner, setup and notebook is given, by name."""
    setup = base64.b64decode(made['aws_launch_template.this["setup"]']["user_data"]).decode()
    runner = base64.b64decode(made['aws_launch_template.this["runner"]']["user_data"]).decode()
    done = subprocess.run(
        ["terraform", f"-chdir={stack.folder}", "console"],
        input="jsonencode(local.notebook_user_data)\n",
        capture_output=True,
        text=True,
        env=stack.environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return {"runner": runner, "setup": setup, "notebook": json.loads(json.loads(done.stdout))}


@pytest.mark.parametrize("name", ["runner", "setup", "notebook"])
def test_cloud_init_takes_the_user_data(user_data, tmp_path, name):
    (tmp_path / "user-data").write_text(user_data[name])
    if shutil.which("cloud-init") is None:
        pytest.skip("cloud-init is missing: `apt install cloud-init`")
    command = ["cloud-init", "schema", "--config-file", str(tmp_path / "user-data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Valid" in done.stdout


@pytest.mark.parametrize("name", ["runner", "setup", "notebook"])
def test_the_user_data_has_no_other_keys_and_fits(user_data, name):
    text = user_data[name]
    assert text.startswith("#cloud-config\n")
    assert set(yaml.safe_load(text)) == {"packages", "write_files", "runcmd"}
    assert len(text.encode()) < LARGEST_USER_DATA


def test_the_user_data_starts_what_it_writes(user_data):
    for text in user_data.values():
        content = yaml.safe_load(text)
        units = {Path(one["path"]).name for one in content["write_files"] if "/systemd/system/" in one["path"]}
        started = {word for command in content["runcmd"] for word in command if word.startswith("quire-")}
        assert {one if "." in one else f"{one}.service" for one in started} <= units
        written = {one["path"] for one in content["write_files"]}
        for one in content["write_files"]:
            assert set(re.findall(r"/opt/quire/\w+\.sh|/etc/quire/\w+\.env", one["content"])) <= written


def test_the_instance_turns_archive_and_channels_of_the_shipped_params_on(user_data, made):
    from quire import config

    files = {one["path"]: one["content"] for one in yaml.safe_load(user_data["runner"])["write_files"]}
    environment = dict(line.split("=", 1) for line in files["/etc/quire/boot.env"].splitlines())
    root = Path(__file__).parents[2]
    settings = config.load("demo", root=root, environment=environment).config
    assert settings.archive.url == f"s3://{made['aws_s3_bucket.archive']['id']}/quire"
    assert set(settings.alerts.channels) == {"log", "sns", "cloudwatch"}
    assert settings.alerts.sns_topic == made["aws_sns_topic.alerts"]["arn"]
    assert settings.alerts.namespace == "Quire/staging"
