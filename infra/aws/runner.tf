# The instance that a run lives on: made from a launch template, ends itself. See boot/run.sh.

data "aws_iam_policy_document" "runner" {
  source_policy_documents = [
    data.aws_iam_policy_document.session_manager.json,
    data.aws_iam_policy_document.start.json,
    data.aws_iam_policy_document.run.json,
  ]

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
    BOOT_SECRET    = aws_secretsmanager_secret.database["quire"].name
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

resource "aws_launch_template" "runner" {
  name                                 = "${local.name}-runner"
  image_id                             = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
  instance_type                        = var.runner_instance_type
  instance_initiated_shutdown_behavior = "terminate"
  update_default_version               = true
  user_data                            = base64encode(local.runner_user_data)
  # Not as a network interface: with one, EC2 refuses the subnet that functions/launch.py chooses.
  vpc_security_group_ids = [aws_security_group.runner.id]

  iam_instance_profile {
    arn = aws_iam_instance_profile.runner.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }

  monitoring {
    enabled = true
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size           = 40
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])

    content {
      resource_type = tag_specifications.value
      tags          = { "quire:stack" = local.name, "quire:part" = "runner", Name = "${local.name}-runner" }
    }
  }
}
