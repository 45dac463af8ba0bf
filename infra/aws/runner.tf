# The instance that a run lives on: made from a launch template (templates.tf), ends itself. See boot/run.sh.

data "aws_iam_policy_document" "runner" {
  source_policy_documents = [
    data.aws_iam_policy_document.session_manager.json,
    data.aws_iam_policy_document.start.json,
    data.aws_iam_policy_document.run.json,
  ]

  statement {
    sid       = "Database"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.database["runner"].arn]
  }

  statement {
    sid       = "BootLog"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.archive.arn}/boot/*", "${aws_s3_bucket.archive.arn}/status/*"]
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this["runner"].arn}:*"]
  }
}

resource "aws_iam_role" "runner" {
  name               = "${local.name}-runner"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ec2"].json
}

resource "aws_iam_role_policy" "runner" {
  role   = aws_iam_role.runner.name
  policy = data.aws_iam_policy_document.runner.json
}

resource "aws_iam_instance_profile" "runner" {
  name = "${local.name}-runner"
  role = aws_iam_role.runner.name
}

locals {
  runner_environment = merge(local.environment, {
    BOOT_BUCKET    = aws_s3_bucket.archive.id
    BOOT_IMAGE     = aws_ecr_repository.this.repository_url
    BOOT_RELEASE   = aws_ssm_parameter.image.name
    BOOT_SECRET    = aws_secretsmanager_secret.database["runner"].name
    BOOT_LOG_GROUP = aws_cloudwatch_log_group.this["runner"].name
    BOOT_TIMEOUT_S = var.runner_hours * 3600
  })

  runner_user_data = join("\n", ["#cloud-config", yamlencode({
    packages = ["docker"]
    write_files = [
      { path = "/opt/quire/run.sh", permissions = "0755", content = file("${path.module}/boot/run.sh") },
      {
        path        = "/etc/quire/boot.env"
        permissions = "0600"
        content     = join("", [for name, value in local.runner_environment : "${name}=${value}\n"])
      },
      { path = "/etc/systemd/system/quire-run.service", content = file("${path.module}/boot/quire-run.service") },
    ]
    runcmd = [
      # Whatever hangs, the instance does not outlive this; and it is ended from outside should this hang too.
      ["shutdown", "--poweroff", "+${var.runner_hours * 60 + 30}"],
      ["systemctl", "enable", "--now", "docker"],
      ["systemctl", "start", "--no-block", "quire-run"],
    ]
  })])
}
