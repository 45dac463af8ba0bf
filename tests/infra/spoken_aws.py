"""The few words of the AWS command line that the scripts of infra/ use, spoken by botocore.

``bin/aws`` sends its words here, to a server in the tests' own process, so that boto3 is imported once only.
Parameters are given their type by botocore's own description of the operation.
"""

import json
from pathlib import Path

import boto3
import jmespath
from botocore import xform_name


def typed(shape, text):
    """Return what ``text`` stands for where ``shape`` is expected: JSON, A=b,C=d, or plain."""
    if shape.type_name == "boolean":
        return True
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name in ("double", "float"):
        return float(text)
    if shape.type_name in ("structure", "list", "map"):
        if text.startswith(("{", "[")):
            return json.loads(text)
        pairs = [pair.partition("=") for pair in text.split(",")]
        if shape.type_name == "list" and all(middle for _, middle, _ in pairs):
            return [{"Name": name, "Value": value} for name, _, value in pairs]
        return text.split(",") if shape.type_name == "list" else {name: value for name, _, value in pairs}
    return text


def options(words):
    """Return the options by name; one without a value is true."""
    found = {}
    while words:
        name = words.pop(0).removeprefix("--")
        found[name] = words.pop(0) if words and not words[0].startswith("--") else ""
    return found


def plain(value):
    """Return a value as ``--output text`` prints it."""
    if isinstance(value, list):
        return "\t".join(plain(one) for one in value)
    return "None" if value is None else str(value)


def copy(words, endpoint):
    source, target = [word for word in words if not word.startswith("--")]
    bucket, _, key = target.removeprefix("s3://").partition("/")
    content = Path(source).read_bytes()
    boto3.client("s3", endpoint_url=endpoint).put_object(Bucket=bucket, Key=key, Body=content)
    return ""


def figure(given, client):
    pairs = [pair.partition("=") for pair in given["dimensions"].split(",")]
    datum = {"MetricName": given["metric-name"], "Value": float(given["value"]), "Unit": given["unit"]}
    datum["Dimensions"] = [{"Name": key, "Value": value} for key, _, value in pairs]
    client.put_metric_data(Namespace=given["namespace"], MetricData=[datum])
    return ""


def speak(words, endpoint):
    """Return what the command line would print; raises what botocore raises."""
    service, operation, *rest = words
    if (service, operation) == ("s3", "cp"):
        return copy(rest, endpoint)
    if (service, operation) == ("ecr", "get-login-password"):
        return "a-password-for-the-registry"
    client = boto3.client(service, endpoint_url=endpoint, region_name="eu-west-1")
    given = options(list(rest))
    if operation == "put-metric-data":
        return figure(given, client)
    query, output = given.pop("query", ""), given.pop("output", "json")
    known = {xform_name(api): api for api in client.meta.service_model.operation_names}
    name = operation.replace("-", "_")
    members = client.meta.service_model.operation_model(known[name]).input_shape.members
    by_option = {xform_name(member).replace("_", "-"): (member, shape) for member, shape in members.items()}
    values = {by_option[key][0]: typed(by_option[key][1], text) for key, text in given.items()}
    answer = getattr(client, name)(**values)
    answer.pop("ResponseMetadata", None)
    found = jmespath.search(query, answer) if query else answer
    return plain(found) if output == "text" else json.dumps(found, default=str)
