# JupyterLab for data scientists, if wanted: no port is open; Session Manager forwards one. It stops itself when idle,
# and `aws ec2 start-instances` brings it back with its disk.

data "aws_iam_policy_document" "notebook" {
  source_policy_documents = [
    data.aws_iam_policy_document.session_manager.json,
    data.aws_iam_policy_document.start.json,
    data.aws_iam_policy_document.run.json,
  ]

  statement {
    sid       = "Database"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.database["notebook"].arn]
  }
}

resource "aws_iam_role" "notebook" {
  count = var.notebook_enabled ? 1 : 0

  name               = "${local.name}-notebook"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ec2"].json
}

resource "aws_iam_role_policy" "notebook" {
  count = var.notebook_enabled ? 1 : 0

  role   = aws_iam_role.notebook[0].name
  policy = data.aws_iam_policy_document.notebook.json
}

resource "aws_iam_instance_profile" "notebook" {
  count = var.notebook_enabled ? 1 : 0

  name = "${local.name}-notebook"
  role = aws_iam_role.notebook[0].name
}

data "aws_ssm_parameter" "system_image" {
  count = var.notebook_enabled ? 1 : 0

  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

locals {
  notebook_environment = merge(local.runner_environment, {
    BOOT_SECRET = aws_secretsmanager_secret.database["notebook"].name
  })

  notebook_user_data = join("\n", ["#cloud-config", yamlencode({
    packages = ["docker"]
    write_files = [
      { path = "/opt/quire/notebook.sh", permissions = "0755", content = file("${path.module}/boot/notebook.sh") },
      { path = "/opt/quire/idle.sh", permissions = "0755", content = file("${path.module}/boot/idle.sh") },
      {
        path        = "/etc/quire/boot.env"
        permissions = "0600"
        content     = join("", [for name, value in local.notebook_environment : "${name}=${value}\n"])
      },
      { path = "/etc/systemd/system/quire-notebook.service", content = file("${path.module}/boot/quire-notebook.service") },
      { path = "/etc/systemd/system/quire-idle.service", content = file("${path.module}/boot/quire-idle.service") },
      { path = "/etc/systemd/system/quire-idle.timer", content = file("${path.module}/boot/quire-idle.timer") },
    ]
    runcmd = [
      ["systemctl", "enable", "--now", "docker"],
      ["systemctl", "enable", "--now", "quire-idle.timer", "quire-notebook"],
    ]
  })])
}

resource "aws_instance" "notebook" {
  count = var.notebook_enabled ? 1 : 0

  ami                                  = data.aws_ssm_parameter.system_image[0].value
  instance_type                        = var.notebook_instance_type
  subnet_id                            = aws_subnet.private[0].id
  vpc_security_group_ids               = [aws_security_group.notebook[0].id]
  iam_instance_profile                 = aws_iam_instance_profile.notebook[0].name
  associate_public_ip_address          = false
  instance_initiated_shutdown_behavior = "stop"
  ebs_optimized                        = true
  monitoring                           = true
  user_data                            = local.notebook_user_data
  tags                                 = { Name = "${local.name}-notebook", "quire:part" = "notebook" }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_size = 60
    volume_type = "gp3"
    encrypted   = true
    kms_key_id  = aws_kms_key.this.arn
  }

  lifecycle {
    # A newer system image must not throw away what is on the disk.
    ignore_changes = [ami]
  }
}
