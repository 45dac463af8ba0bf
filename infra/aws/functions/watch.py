"""Every quarter of an hour: end instances that outlived their run, and say how long ago each workflow succeeded.

It runs outside the instances, so that it works when they do not: a run that never started is missed here.
"""

import json
import os
from datetime import UTC, datetime, timedelta

import boto3


def handler(event, context):
    """Return the instances that were ended and the hours since each workflow's last success."""
    now = datetime.now(UTC)
    ended = _end_overlong(boto3.client("ec2"), now - timedelta(hours=float(os.environ["MAX_HOURS"])))
    ages = _ages(boto3.client("s3"), json.loads(os.environ["WATCHED"]), now)
    data = [{"MetricName": "RunsOverlong", "Value": len(ended), "Unit": "Count"}]
    data += [
        {
            "MetricName": "HoursSinceSuccess",
            "Value": hours,
            "Unit": "None",
            "Dimensions": [{"Name": "UseCase", "Value": params}, {"Name": "Workflow", "Value": workflow}],
        }
        for (params, workflow), hours in ages.items()
    ]
    boto3.client("cloudwatch").put_metric_data(Namespace=os.environ["NAMESPACE"], MetricData=data)
    return {"ended": ended, "hours": {"/".join(key): round(hours, 2) for key, hours in ages.items()}}


def _end_overlong(ec2, oldest):
    """Terminate our instances of one job that were launched before ``oldest``; return their ids."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": "tag:quire:stack", "Values": [os.environ["STACK"]]},
            {"Name": "tag:quire:part", "Values": ["runner", "setup"]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
    )
    instances = [one for page in pages for group in page["Reservations"] for one in group["Instances"]]
    overlong = [one["InstanceId"] for one in instances if one["LaunchTime"] < oldest]
    if overlong:
        print(f"ending {overlong}: launched before {oldest:%Y-%m-%d %H:%M} UTC")
        ec2.terminate_instances(InstanceIds=overlong)
    return overlong


def _ages(s3, watched, now):
    """Return the hours since the last success by (params, workflow); before the first, since deployment."""
    ages = {}
    for params, workflow in watched:
        head = s3.head_object(Bucket=os.environ["BUCKET"], Key=f"status/{params}/{workflow}.json")
        ages[params, workflow] = (now - head["LastModified"]).total_seconds() / 3600
    return ages
