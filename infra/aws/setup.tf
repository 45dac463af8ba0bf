# The instance that makes the database's roles and tables when a release is rolled out: the only part that may read the
# owner's password. It is started by the function launch, and ends itself. See boot/setup.sh.

data "aws_iam_policy_document" "setup" {
  source_policy_documents = [
    data.aws_iam_policy_document.session_manager.json,
    data.aws_iam_policy_document.start.json,
  ]

  statement {
    sid       = "Database"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for secret in values(aws_secretsmanager_secret.database) : secret.arn]
  }

  statement {
    sid       = "BootLog"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.archive.arn}/boot/setup/*"]
  }
}

resource "aws_iam_role" "setup" {
  name               = "${local.name}-setup"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ec2"].json
}

resource "aws_iam_role_policy" "setup" {
  role   = aws_iam_role.setup.name
  policy = data.aws_iam_policy_document.setup.json
}

resource "aws_iam_instance_profile" "setup" {
  name = "${local.name}-setup"
  role = aws_iam_role.setup.name
}

locals {
  setup_environment = {
    AWS_REGION         = var.region
    AWS_DEFAULT_REGION = var.region
    BOOT_BUCKET        = aws_s3_bucket.archive.id
    BOOT_IMAGE         = aws_ecr_repository.this.repository_url
    BOOT_SECRETS       = "\"${join(" ", [for role, secret in aws_secretsmanager_secret.database : "${role}=${secret.name}"])}\""
  }

  setup_user_data = join("\n", ["#cloud-config", yamlencode({
    packages = ["docker"]
    write_files = [
      { path = "/opt/quire/setup.sh", permissions = "0755", content = file("${path.module}/boot/setup.sh") },
      {
        path        = "/etc/quire/boot.env"
        permissions = "0600"
        content     = join("", [for name, value in local.setup_environment : "${name}=${value}\n"])
      },
      { path = "/etc/systemd/system/quire-setup.service", content = file("${path.module}/boot/quire-setup.service") },
    ]
    runcmd = [
      # Whatever hangs, the instance does not outlive this.
      ["shutdown", "--poweroff", "+30"],
      ["systemctl", "enable", "--now", "docker"],
      ["systemctl", "start", "--no-block", "quire-setup"],
    ]
  })])
}
