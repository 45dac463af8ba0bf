# What the workflow deploy.yml may do: release an image to what is there. It has no keys: GitHub vouches for it. Changes
# of the infrastructure itself are applied by a person.

resource "aws_iam_openid_connect_provider" "github" {
  count = var.github_repository == "" ? 0 : 1

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "assumed_by_github" {
  count = var.github_repository == "" ? 0 : 1

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.github[0].arn]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }

    # Only a job in the repository's environment of this name, which may ask for approval.
    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:${var.github_repository}:environment:${var.environment}"]
    }
  }
}

data "aws_iam_policy_document" "release" {
  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"] # knows no resources
    resources = ["*"]
  }

  statement {
    sid = "Image"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:DescribeImages",
      "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = [aws_ecr_repository.this.arn]
  }

  statement {
    sid       = "Release"
    actions   = ["ssm:GetParameter", "ssm:GetParameterHistory", "ssm:PutParameter"]
    resources = [aws_ssm_parameter.image.arn]
  }

  statement {
    sid       = "Bundle"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.archive.arn}/releases/*"]
  }

  # The database is set up for the release by an instance of its own, which says how it went in the bucket.
  statement {
    sid       = "Setup"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.this["launch"].arn]
  }

  statement {
    sid       = "SetupStatus"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.archive.arn}/boot/setup/*"]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }

  statement {
    sid = "Version"
    actions = [
      "elasticbeanstalk:CreateApplicationVersion",
      "elasticbeanstalk:DescribeApplicationVersions",
      "elasticbeanstalk:DescribeEnvironments",
      "elasticbeanstalk:DescribeEvents",
      "elasticbeanstalk:UpdateEnvironment",
    ]
    resources = [
      for kind in ["application/${local.name}", "applicationversion/${local.name}/*", "environment/${local.name}/*"] :
      "arn:${local.partition}:elasticbeanstalk:${var.region}:${local.account}:${kind}"
    ]
  }

  # Beanstalk updates an environment with the permissions of whoever asked for it.
  statement {
    sid = "RollOut"
    actions = [
      "autoscaling:PutNotificationConfiguration",
      "autoscaling:ResumeProcesses",
      "autoscaling:SuspendProcesses",
      "autoscaling:TerminateInstanceInAutoScalingGroup",
      "autoscaling:UpdateAutoScalingGroup",
      "cloudformation:DescribeStackResource",
      "cloudformation:DescribeStackResources",
      "cloudformation:DescribeStacks",
      "cloudformation:DescribeStackEvents",
      "cloudformation:GetTemplate",
      "cloudformation:UpdateStack",
      "elasticloadbalancing:DeregisterTargets",
      "elasticloadbalancing:RegisterTargets",
      "s3:GetObject",
      "s3:PutObject",
    ]
    resources = [
      "arn:${local.partition}:autoscaling:${var.region}:${local.account}:autoScalingGroup:*:autoScalingGroupName/awseb-*",
      "arn:${local.partition}:cloudformation:${var.region}:${local.account}:stack/awseb-*",
      "arn:${local.partition}:elasticloadbalancing:${var.region}:${local.account}:targetgroup/awseb-*",
      "arn:${local.partition}:s3:::elasticbeanstalk-${var.region}-${local.account}/*",
    ]
  }

  statement {
    sid = "LookOn" # these know no resources
    actions = [
      "autoscaling:DescribeAutoScalingGroups",
      "autoscaling:DescribeScalingActivities",
      "ec2:DescribeInstances",
      "ec2:DescribeLaunchTemplates",
      "elasticloadbalancing:DescribeLoadBalancers",
      "elasticloadbalancing:DescribeTargetGroups",
      "elasticloadbalancing:DescribeTargetHealth",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_role" "release" {
  count = var.github_repository == "" ? 0 : 1

  name               = "${local.name}-release"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_github[0].json
}

resource "aws_iam_role_policy" "release" {
  count = var.github_repository == "" ? 0 : 1

  role   = aws_iam_role.release[0].name
  policy = data.aws_iam_policy_document.release.json
}
