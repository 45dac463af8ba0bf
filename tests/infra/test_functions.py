"""The two functions beside the instances, called as Lambda calls them."""

import importlib.util
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parents[2] / "infra" / "aws" / "functions"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FUNCTIONS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def _no_images(monkeypatch):
    """moto's EC2 is there at once without the thousand system images that it knows."""
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")


@pytest.fixture
def client(_no_images, aws, monkeypatch):
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    return boto3.client


@pytest.fixture
def network(client, monkeypatch):
    """Two subnets and a launch template."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in range(2)
    ]
    image = ec2.register_image(Name="system")["ImageId"]
    template, setup = (
        ec2.create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData={"ImageId": image, "InstanceType": kind}
        )["LaunchTemplate"]["LaunchTemplateId"]
        for name, kind in (("runner", "m5.large"), ("setup", "t3.medium"))
    )
    values = {"STACK": "quire-staging", "MARKET": "spot", "SUBNETS": ",".join(subnets)}
    values |= {"LAUNCH_TEMPLATE": template, "SETUP_TEMPLATE": setup}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return subnets


def instances(client):
    return [one for group in client("ec2").describe_instances()["Reservations"] for one in group["Instances"]]


def tags(instance):
    return {tag["Key"]: tag["Value"] for tag in instance["Tags"]}


CALL = {"params": "demo", "workflow": "score", "id": "execution-1"}


def test_a_scheduled_run_starts_on_the_spot_market(client, network):
    answer = load("launch").handler(CALL, None)
    (instance,) = instances(client)
    assert answer == {"instance": instance["InstanceId"], "market": "spot"}
    assert tags(instance)["quire:params"] == "demo"
    assert tags(instance)["quire:workflow"] == "score"
    assert instance["InstanceLifecycle"] == "spot"


def test_a_release_starts_the_setup_of_the_database_on_demand(client, network):
    answer = load("launch").handler({"setup": "1.2.3", "id": "1.2.3-1"}, None)
    (instance,) = instances(client)
    assert answer == {"instance": instance["InstanceId"], "market": "on-demand"}
    assert (tags(instance)["quire:part"], tags(instance)["quire:release"]) == ("setup", "1.2.3")
    assert instance["InstanceType"] == "t3.medium"


def full(module, monkeypatch, markets):
    """Let AWS have no capacity in some markets; note what is tried."""
    from botocore.exceptions import ClientError

    tried, real = [], module._run

    def run(ec2, job, call, market, subnet):
        tried.append((market, subnet))
        if market in markets:
            answer = {"Error": {"Code": "InsufficientInstanceCapacity", "Message": "none left"}}
            raise ClientError(answer, "RunInstances")
        return real(ec2, job, call, market, subnet)

    monkeypatch.setattr(module, "_run", run)
    return tried


def test_without_spot_capacity_the_run_starts_on_demand(client, network, monkeypatch):
    launch = load("launch")
    tried = full(launch, monkeypatch, ["spot"])
    assert launch.handler(CALL, None)["market"] == "on-demand"
    assert tried == [("spot", network[0]), ("spot", network[1]), ("on-demand", network[0])]


def test_without_any_capacity_the_schedule_is_told_to_try_again(client, network, monkeypatch):
    from botocore.exceptions import ClientError

    launch = load("launch")
    full(launch, monkeypatch, ["spot", "on-demand"])
    with pytest.raises(ClientError, match="InsufficientInstanceCapacity"):
        launch.handler(CALL, None)


def test_another_mistake_is_not_taken_for_lack_of_capacity(client, network, monkeypatch):
    from botocore.exceptions import ClientError

    monkeypatch.setenv("SUBNETS", "subnet-00000000000000000")
    with pytest.raises(ClientError, match="subnet-00000000000000000"):
        load("launch").handler(CALL, None)


def test_a_repeated_call_has_the_same_token(client, network, door):
    import boto3
    from botocore.stub import Stubber

    launch, tokens = load("launch"), []
    ec2 = boto3.client("ec2")
    with Stubber(ec2) as stub:
        for _ in range(2):
            stub.add_response("run_instances", {"Instances": [{"InstanceId": "i-1"}]})
        ec2.meta.events.register(
            "provide-client-params.ec2.RunInstances", lambda params, **_: tokens.append(params["ClientToken"])
        )
        for _ in range(2):
            job = launch._job("LAUNCH_TEMPLATE", "runner", "demo-score", {})
            launch._run(ec2, job, "execution-1", "spot", network[0])
    assert len(tokens) == 2
    assert len(set(tokens)) == 1


def notice(instance):
    return {"detail-type": "EC2 Spot Instance Interruption Warning", "detail": {"instance-id": instance}}


def test_a_run_that_loses_its_instance_goes_on_on_demand(client, network):
    launch = load("launch")
    lost = launch.handler(CALL, None)["instance"]
    answer = launch.handler(notice(lost), None)
    assert answer["market"] == "on-demand"
    (new,) = [one for one in instances(client) if one["InstanceId"] == answer["instance"]]
    assert tags(new)["quire:workflow"] == "score"
    assert "InstanceLifecycle" not in new or new["InstanceLifecycle"] != "spot"


def test_an_instance_of_somebody_else_is_left_alone(client, network):
    image = client("ec2").register_image(Name="other")["ImageId"]
    other = client("ec2").run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    assert load("launch").handler(notice(other), None) == {}
    assert len(instances(client)) == 1


@pytest.fixture
def watched(client, network, monkeypatch):
    client("s3").create_bucket(Bucket="archive", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client("s3").put_object(Bucket="archive", Key="status/demo/score.json", Body=b"{}")
    values = {"BUCKET": "archive", "NAMESPACE": "Quire/staging", "MAX_HOURS": "5", "WATCHED": '[["demo", "score"]]'}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def figure(client, name):
    now = datetime.now(UTC)
    found = client("cloudwatch").get_metric_data(
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        MetricDataQueries=[
            {
                "Id": "a",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "Quire/staging",
                        "MetricName": name,
                        "Dimensions": []
                        if name == "RunsOverlong"
                        else [{"Name": "UseCase", "Value": "demo"}, {"Name": "Workflow", "Value": "score"}],
                    },
                    "Period": 60,
                    "Stat": "Maximum",
                },
            }
        ],
    )
    return found["MetricDataResults"][0]["Values"]


def test_the_age_of_the_last_success_is_told(client, watched):
    answer = load("watch").handler({}, None)
    assert answer["ended"] == []
    assert 0 <= answer["hours"]["demo/score"] < 0.1
    assert figure(client, "RunsOverlong") == [0.0]
    (hours,) = figure(client, "HoursSinceSuccess")
    assert hours < 0.1


def test_an_overlong_instance_is_ended(client, watched, monkeypatch):
    instance = load("launch").handler(CALL, None)["instance"]
    assert load("watch").handler({}, None)["ended"] == []
    monkeypatch.setenv("MAX_HOURS", "-1")
    assert load("watch").handler({}, None)["ended"] == [instance]
    assert instances(client)[0]["State"]["Name"] in ("shutting-down", "terminated")
    assert max(figure(client, "RunsOverlong")) == 1.0


def test_a_notebook_instance_is_not_taken_for_a_run(client, watched, monkeypatch):
    image = client("ec2").register_image(Name="other")["ImageId"]
    marks = [{"Key": "quire:stack", "Value": "quire-staging"}, {"Key": "quire:part", "Value": "notebook"}]
    client("ec2").run_instances(
        ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": marks}]
    )
    monkeypatch.setenv("MAX_HOURS", "-1")
    assert load("watch").handler({}, None)["ended"] == []


def test_a_workflow_that_never_was_is_an_error_that_rings(client, watched, monkeypatch):
    from botocore.exceptions import ClientError

    monkeypatch.setenv("WATCHED", json.dumps([["demo", "train"]]))
    with pytest.raises(ClientError, match="404"):
        load("watch").handler({}, None)
