"""All that moto implements is made, found unchanged, and removed again.

It is asked for, because it takes five minutes: the provider waits for the database more often than it need here.
"""

import json
import os
import shutil
from dataclasses import replace

import pytest

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("QUIRE_TEST_APPLY"),
        reason="takes five minutes: QUIRE_TEST_APPLY=1 make test TESTS=tests/infra",
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
        done = copy.terraform("plan", "-input=false", "-no-color", "-detailed-exitcode", check=False, timeout=300)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr
        assert len(copy.resources()) > 90
    finally:
        copy.terraform("destroy", "-input=false", "-auto-approve", "-no-color", timeout=600)
    assert json.loads(copy.terraform("show", "-json").stdout).get("values") is None
