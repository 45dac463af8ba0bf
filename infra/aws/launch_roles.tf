# The roles of the schedule and its functions.

locals {
  ec2_arn = "arn:${local.partition}:ec2:${var.region}:${local.account}"
}

data "aws_iam_policy_document" "function" {
  for_each = toset(["launch", "watch"])

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this[each.key].arn}:*"]
  }

  statement {
    sid       = "DeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead.arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }

  statement {
    sid       = "Find" # these know no resources
    actions   = ["ec2:DescribeInstances", "xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "launch" {
  source_policy_documents = [data.aws_iam_policy_document.function["launch"].json]

  # Instances of our launch templates only, in our subnets only.
  statement {
    sid     = "Start"
    actions = ["ec2:RunInstances"]
    resources = concat(
      [for template in values(aws_launch_template.this) : template.arn],
      [
        aws_security_group.runner.arn,
        aws_security_group.setup.arn,
        "${local.ec2_arn}:instance/*",
        "${local.ec2_arn}:network-interface/*",
        "${local.ec2_arn}:volume/*",
        "arn:${local.partition}:ec2:${var.region}::image/*",
      ],
      aws_subnet.private[*].arn,
    )

    condition {
      test     = "ArnLike"
      variable = "ec2:LaunchTemplate"
      values   = [for template in values(aws_launch_template.this) : template.arn]
    }
  }

  statement {
    sid       = "Tag"
    actions   = ["ec2:CreateTags"]
    resources = ["${local.ec2_arn}:instance/*", "${local.ec2_arn}:volume/*"]

    condition {
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = ["RunInstances"]
    }
  }

  statement {
    sid       = "SystemImage"
    actions   = ["ssm:GetParameters"]
    resources = ["arn:${local.partition}:ssm:${var.region}::parameter/aws/service/ami-amazon-linux-latest/*"]
  }

  statement {
    sid       = "HandRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.runner.arn, aws_iam_role.setup.arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "watch" {
  source_policy_documents = [data.aws_iam_policy_document.function["watch"].json]

  statement {
    sid       = "End"
    actions   = ["ec2:TerminateInstances"]
    resources = ["${local.ec2_arn}:instance/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/quire:stack"
      values   = [local.name]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/quire:part"
      values   = keys(local.jobs)
    }
  }

  statement {
    sid       = "LastSuccess"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.archive.arn}/status/*"]
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

data "aws_iam_policy_document" "scheduler" {
  statement {
    sid       = "Launch"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.this["launch"].arn]
  }

  statement {
    sid       = "DeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead.arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }
}

resource "aws_iam_role" "launch" {
  name               = "${local.name}-launch"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["lambda"].json
}

resource "aws_iam_role_policy" "launch" {
  role   = aws_iam_role.launch.name
  policy = data.aws_iam_policy_document.launch.json
}

resource "aws_iam_role" "watch" {
  name               = "${local.name}-watch"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["lambda"].json
}

resource "aws_iam_role_policy" "watch" {
  role   = aws_iam_role.watch.name
  policy = data.aws_iam_policy_document.watch.json
}

resource "aws_iam_role" "scheduler" {
  name               = "${local.name}-scheduler"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["scheduler"].json
}

resource "aws_iam_role_policy" "scheduler" {
  role   = aws_iam_role.scheduler.name
  policy = data.aws_iam_policy_document.scheduler.json
}
