"""All that moto implements is made, found unchanged, and removed again.

It is asked for: the provider waits for the database for minutes, though here it is there at once.
"""

import json
import os
import shutil
from dataclasses import replace

import pytest

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("QUIRE_TEST_APPLY"),
        reason="takes minutes: QUIRE_TEST_APPLY=1 make test TESTS=tests/infra",
    ),
    pytest.mark.timeout(1500),
]

# moto has no Beanstalk with load balancers, no budget filters, no detailed monitoring of an instance.
WITHOUT = {"web_enabled": False, "budget_usd": 0, "notebook_enabled": False}

# moto fails at a policy for everybody when it looks whether S3 may write logs, and the provider tries for five minutes.
ACCESS_LOGS_ONLY = """
data "aws_iam_policy_document" "bucket" {
  statement {
    actions   = ["s3:PutObject"]
    resources = ["${each.value.arn}/archive/*"]

    principals {
      type        = "Service"
      identifiers = ["logging.s3.amazonaws.com"]
    }
  }
}
"""

# What moto takes and does not hand back, and what is known again only after that was put right.
FORGOTTEN = {
    "aws_db_instance": {"performance_insights_enabled", "performance_insights_kms_key_id"},
    "aws_db_parameter_group": {"parameter"},
    "aws_iam_role_policy": {"policy"},
    "aws_lambda_function": {"dead_letter_config", "logging_config"},
    "aws_launch_template": {"tag_specifications"},
    "aws_vpc_security_group_egress_rule": {"description"},
    "aws_vpc_security_group_ingress_rule": {"description"},
}
COMPUTED = {"default_version", "latest_version", "last_modified", "qualified_arn", "version"}
"""What AWS sets anew with every change."""


def changes(stack, plan):
    """Return what a plan would change, each as address and attribute, but for what moto forgets."""
    found = []
    for one in json.loads(stack.terraform("show", "-json", plan).stdout)["resource_changes"]:
        change = one["change"]
        if change["actions"] in (["no-op"], ["read"]):
            continue
        if change["actions"] != ["update"]:
            found.append((one["address"], change["actions"]))
            continue
        names = {name for name, unknown in change["after_unknown"].items() if unknown is True} - COMPUTED
        names |= {name for name, value in change["after"].items() if value != change["before"].get(name)}
        found += [(one["address"], name) for name in sorted(names - FORGOTTEN.get(one["type"], set()))]
    return found


def test_what_is_applied_stays_and_goes_again(stack, tmp_path):
    copy = replace(stack, folder=tmp_path / "aws")
    shutil.copytree(stack.folder, copy.folder, symlinks=True, ignore=shutil.ignore_patterns("*.tfstate*", "*.tfplan"))
    variables = json.loads((copy.folder / "test.auto.tfvars.json").read_text()) | {"environment": "staging"} | WITHOUT
    # The roles' tests have a stack of the same names on the same server; this one lives in another region.
    (copy.folder / "test.auto.tfvars.json").write_text(json.dumps(variables | {"region": "eu-central-1"}))
    (copy.folder / "main_override.tf").write_text('locals {\n  name = "quire-applied"\n}\n')
    (copy.folder / "storage_override.tf").write_text(ACCESS_LOGS_ONLY)
    copy.terraform("init", "-input=false", "-no-color")
    copy.terraform("apply", "-input=false", "-auto-approve", "-no-color", timeout=900)
    try:
        copy.terraform("plan", "-input=false", "-no-color", "-out=again.tfplan", timeout=300)
        assert changes(copy, "again.tfplan") == []
        assert len(copy.resources()) > 90
    finally:
        copy.terraform("destroy", "-input=false", "-auto-approve", "-no-color", timeout=600)
    assert json.loads(copy.terraform("show", "-json").stdout).get("values") is None
