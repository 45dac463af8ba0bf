"""Start an instance for a run: on the spot market, or on demand where that has no capacity.

The schedule calls it with ``{"params": ..., "workflow": ..., "id": ...}``; a spot notice calls it with EC2's event, and
the run that lost its instance is started again, on demand, and resumes from the archive. A release calls it with
``{"setup": TAG, "id": ...}`` for the instance that makes the database's roles and tables. Raising makes the caller try
again and, in the end, put the call into the dead-letter queue.
"""

import hashlib
import json
import os

import boto3
from botocore.exceptions import ClientError

NO_CAPACITY = {
    "InsufficientInstanceCapacity",
    "InsufficientCapacity",
    "InsufficientHostCapacity",
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "Unsupported",
    "UnfulfillableCapacity",
}


def handler(event, context):
    """Return the instance that was started, or {} for a spot notice of an instance that is not ours."""
    ec2 = boto3.client("ec2")
    market = os.environ["MARKET"]
    if "setup" in event:
        job = _job("SETUP_TEMPLATE", "setup", event["setup"], {"quire:release": event["setup"]})
        instance, market, subnet = _start(ec2, job, event["id"], "on-demand")
        print(f"started {instance} ({market}, {subnet}) to set up the database for release {event['setup']}")
        return {"instance": instance, "market": market}
    if event.get("detail-type") == "EC2 Spot Instance Interruption Warning":
        event, market = _of_lost_instance(ec2, event), "on-demand"
        if not event:
            return {}
    params, workflow = event["params"], event["workflow"]
    tags = {"quire:params": params, "quire:workflow": workflow}
    job = _job("LAUNCH_TEMPLATE", "runner", f"{params}-{workflow}", tags)
    instance, market, subnet = _start(ec2, job, event["id"], market)
    print(f"started {instance} ({market}, {subnet}) for workflow {event['workflow']} of params/{event['params']}")
    return {"instance": instance, "market": market}


def _of_lost_instance(ec2, event):
    """Return what an instance that EC2 takes back was running, or None if it is none of ours."""
    instance = event["detail"]["instance-id"]
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    tags = {tag["Key"]: tag["Value"] for tag in found[0]["Instances"][0].get("Tags", [])} if found else {}
    if tags.get("quire:stack") != os.environ["STACK"] or tags.get("quire:part") != "runner":
        return None
    return {"params": tags["quire:params"], "workflow": tags["quire:workflow"], "id": f"after-{instance}"}


def _job(template, part, label, tags):
    """Return the launch template (by the variable that holds its id) and the tags of an instance for one job."""
    stack = os.environ["STACK"]
    tags = {"quire:stack": stack, "quire:part": part, "Name": f"{stack}-{label}", **tags}
    return {"template": os.environ[template], "tags": tags}


def _start(ec2, job, call, market):
    """Try every subnet, first on the spot market if that is wanted, then on demand; raise if all are full."""
    markets = ["spot", "on-demand"] if market == "spot" else ["on-demand"]
    error = None
    for kind in markets:
        for subnet in os.environ["SUBNETS"].split(","):
            try:
                return _run(ec2, job, call, kind, subnet), kind, subnet
            except ClientError as failed:
                if failed.response["Error"]["Code"] not in NO_CAPACITY:
                    raise
                print(f"no {kind} capacity in {subnet}: {failed}")
                error = failed
    raise error


def _run(ec2, job, call, market, subnet):
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}} if market == "spot" else {}
    # The same call repeated, by a retry of the schedule, starts no second instance.
    token = hashlib.sha256(json.dumps([call, job["tags"], market, subnet]).encode()).hexdigest()[:64]
    answer = ec2.run_instances(
        LaunchTemplate={"LaunchTemplateId": job["template"], "Version": "$Default"},
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        ClientToken=token,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in job["tags"].items()]}
        ],
        **spot,
    )
    return answer["Instances"][0]["InstanceId"]
