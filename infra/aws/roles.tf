# Who may be what, and the permissions that several parts share. Each part has a role of its own.

data "aws_iam_policy_document" "assumed_by" {
  for_each = toset(["ec2", "lambda", "scheduler", "vpc-flow-logs", "elasticbeanstalk"])

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }

    # Not for instances: EC2 sends no source account.
    dynamic "condition" {
      for_each = each.key == "scheduler" || each.key == "vpc-flow-logs" ? [1] : []

      content {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [local.account]
      }
    }
  }
}

# What Session Manager's agent needs. These actions know no resources.
data "aws_iam_policy_document" "session_manager" {
  statement {
    sid = "SessionManager"
    actions = [
      "ssm:UpdateInstanceInformation",
      "ssmmessages:CreateControlChannel",
      "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel",
      "ssmmessages:OpenDataChannel",
    ]
    resources = ["*"]
  }
}

# What a container of ours needs to start: the image, and which one it is.
data "aws_iam_policy_document" "start" {
  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"] # knows no resources
    resources = ["*"]
  }

  statement {
    sid       = "Image"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [aws_ecr_repository.this.arn]
  }

  statement {
    sid       = "Release"
    actions   = ["ssm:GetParameter"]
    resources = [aws_ssm_parameter.image.arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }
}

# What `quire run` does: read and write the archive, put figures, send alerts.
data "aws_iam_policy_document" "run" {
  statement {
    sid       = "ListArchive"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.archive.arn]
  }

  statement {
    sid       = "Archive"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.archive.arn}/quire/*"]
  }

  statement {
    sid       = "Alerts"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]
  }

  statement {
    sid       = "Figures"
    actions   = ["cloudwatch:PutMetricData"] # knows no resources, but namespaces
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [local.namespace]
    }
  }
}

# Which image runs. A release writes it; Terraform only makes it.
resource "aws_ssm_parameter" "image" {
  name        = "/${local.name}/image"
  description = "Tag of the release that runs"
  type        = "String"
  value       = var.image_tag

  lifecycle {
    ignore_changes = [value]
  }
}
