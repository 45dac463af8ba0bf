# Instances that are made for one job and end themselves: a run, and the setup of the database.

locals {
  jobs = {
    runner = {
      instance_type = var.runner_instance_type
      user_data     = local.runner_user_data
      group         = aws_security_group.runner.id
      profile       = aws_iam_instance_profile.runner.arn
    }
    setup = {
      instance_type = var.web_instance_type
      user_data     = local.setup_user_data
      group         = aws_security_group.setup.id
      profile       = aws_iam_instance_profile.setup.arn
    }
  }
}

resource "aws_launch_template" "this" {
  for_each = local.jobs

  name                                 = "${local.name}-${each.key}"
  image_id                             = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
  instance_type                        = each.value.instance_type
  instance_initiated_shutdown_behavior = "terminate"
  update_default_version               = true
  user_data                            = base64encode(each.value.user_data)
  # Not as a network interface: with one, EC2 refuses the subnet that functions/launch.py chooses.
  vpc_security_group_ids = [each.value.group]

  iam_instance_profile {
    arn = each.value.profile
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
      tags          = { "quire:stack" = local.name, "quire:part" = each.key, Name = "${local.name}-${each.key}" }
    }
  }
}

moved {
  from = aws_launch_template.runner
  to   = aws_launch_template.this["runner"]
}
