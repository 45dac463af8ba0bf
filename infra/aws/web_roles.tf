# The roles of the instances of service, dashboard and MLflow, and that of Beanstalk itself.

data "aws_iam_policy_document" "web_common" {
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
    sid     = "Bundle"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.archive.arn}/releases/*",
      "arn:${local.partition}:s3:::elasticbeanstalk-${var.region}-${local.account}/*",
    ]
  }

  statement {
    sid       = "Health"
    actions   = ["elasticbeanstalk:PutInstanceStatistics"]
    resources = ["arn:${local.partition}:elasticbeanstalk:${var.region}:${local.account}:environment/${local.name}/*"]
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "logs:PutRetentionPolicy"]
    resources = ["arn:${local.partition}:logs:${var.region}:${local.account}:log-group:/aws/elasticbeanstalk/${local.name}-*"]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }
}

# The service and the dashboard read runs; only MLflow writes, and only its own artifacts.
data "aws_iam_policy_document" "web" {
  for_each = local.web

  source_policy_documents = [
    data.aws_iam_policy_document.session_manager.json,
    data.aws_iam_policy_document.web_common.json,
  ]

  statement {
    sid       = "Secret"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = values(local.web_secret[each.key])
  }

  statement {
    sid       = "ListArchive"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.archive.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = each.key == "mlflow" ? ["mlflow/*"] : ["quire/*"]
    }
  }

  statement {
    sid       = "Archive"
    actions   = each.key == "mlflow" ? ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"] : ["s3:GetObject"]
    resources = ["${aws_s3_bucket.archive.arn}/${each.key == "mlflow" ? "mlflow" : "quire"}/*"]
  }
}

resource "aws_iam_role" "web" {
  for_each = local.web

  name               = "${local.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ec2"].json
}

resource "aws_iam_role_policy" "web" {
  for_each = local.web

  role   = aws_iam_role.web[each.key].name
  policy = data.aws_iam_policy_document.web[each.key].json
}

resource "aws_iam_instance_profile" "web" {
  for_each = local.web

  name = "${local.name}-${each.key}"
  role = aws_iam_role.web[each.key].name
}

# Enhanced health: Beanstalk looks at what it made. These actions know no resources.
data "aws_iam_policy_document" "beanstalk" {
  statement {
    sid = "Health"
    actions = [
      "autoscaling:DescribeAutoScalingGroups",
      "autoscaling:DescribeAutoScalingInstances",
      "autoscaling:DescribeNotificationConfigurations",
      "autoscaling:DescribeScalingActivities",
      "ec2:DescribeInstances",
      "ec2:DescribeInstanceStatus",
      "ec2:DescribeSecurityGroups",
      "elasticloadbalancing:DescribeLoadBalancers",
      "elasticloadbalancing:DescribeTargetGroups",
      "elasticloadbalancing:DescribeTargetHealth",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "OldVersions"
    actions   = ["elasticbeanstalk:DeleteApplicationVersion"]
    resources = ["arn:${local.partition}:elasticbeanstalk:${var.region}:${local.account}:applicationversion/${local.name}/*"]
  }

  statement {
    sid       = "Log"
    actions   = ["logs:DescribeLogStreams", "logs:CreateLogGroup", "logs:PutRetentionPolicy"]
    resources = ["arn:${local.partition}:logs:${var.region}:${local.account}:log-group:/aws/elasticbeanstalk/${local.name}-*"]
  }
}

resource "aws_iam_role" "beanstalk" {
  count = var.web_enabled ? 1 : 0

  name               = "${local.name}-beanstalk"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["elasticbeanstalk"].json
}

resource "aws_iam_role_policy" "beanstalk" {
  count = var.web_enabled ? 1 : 0

  role   = aws_iam_role.beanstalk[0].name
  policy = data.aws_iam_policy_document.beanstalk.json
}
