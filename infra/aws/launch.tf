# The schedule, and the two functions beside the instances: launch (starts them) and watch (ends overlong ones, says how
# long ago each workflow succeeded). The deploy script makes build/functions.zip.

locals {
  functions_zip = "${path.module}/build/functions.zip"

  functions = {
    launch = {
      role = aws_iam_role.launch.arn
      environment = {
        STACK           = local.name
        MARKET          = var.runner_market
        SUBNETS         = join(",", aws_subnet.private[*].id)
        LAUNCH_TEMPLATE = aws_launch_template.this["runner"].id
        SETUP_TEMPLATE  = aws_launch_template.this["setup"].id
      }
    }
    watch = {
      role = aws_iam_role.watch.arn
      environment = {
        STACK     = local.name
        BUCKET    = aws_s3_bucket.archive.id
        NAMESPACE = local.namespace
        MAX_HOURS = tostring(var.runner_hours + 1)
        WATCHED   = jsonencode([for schedule in values(var.schedules) : [schedule.params, schedule.workflow]])
      }
    }
  }
}

resource "aws_lambda_function" "this" {
  for_each = local.functions

  function_name    = "${local.name}-${each.key}"
  role             = each.value.role
  runtime          = "python3.12"
  handler          = "${each.key}.handler"
  filename         = local.functions_zip
  source_code_hash = fileexists(local.functions_zip) ? filebase64sha256(local.functions_zip) : null
  timeout          = 60
  memory_size      = 256
  kms_key_arn      = aws_kms_key.this.arn

  environment {
    variables = each.value.environment
  }

  dead_letter_config {
    target_arn = aws_sqs_queue.dead.arn
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this[each.key].name
  }

  tracing_config {
    mode = "Active"
  }
}

# What was to start and did not, after all retries.
resource "aws_sqs_queue" "dead" {
  name                              = "${local.name}-dead-letters"
  message_retention_seconds         = 1209600
  kms_master_key_id                 = aws_kms_key.this.arn
  kms_data_key_reuse_period_seconds = 300
}

data "aws_iam_policy_document" "dead" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_sqs_queue_policy" "dead" {
  queue_url = aws_sqs_queue.dead.id
  policy    = data.aws_iam_policy_document.dead.json
}

resource "aws_scheduler_schedule_group" "this" {
  name = local.name
}

resource "aws_scheduler_schedule" "this" {
  for_each = var.schedules

  name                         = each.key
  group_name                   = aws_scheduler_schedule_group.this.name
  schedule_expression          = each.value.cron
  schedule_expression_timezone = "UTC"
  kms_key_arn                  = aws_kms_key.this.arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this["launch"].arn
    role_arn = aws_iam_role.scheduler.arn
    input = jsonencode({
      params   = each.value.params
      workflow = each.value.workflow
      id       = "<aws.scheduler.execution-id>"
    })

    retry_policy {
      maximum_retry_attempts       = 20
      maximum_event_age_in_seconds = 21600
    }

    dead_letter_config {
      arn = aws_sqs_queue.dead.arn
    }
  }
}

# Two minutes before EC2 takes a spot instance back.
resource "aws_cloudwatch_event_rule" "spot_notice" {
  name        = "${local.name}-spot-notice"
  description = "A run that loses its spot instance goes on, on demand"

  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["EC2 Spot Instance Interruption Warning"]
  })
}

resource "aws_cloudwatch_event_rule" "watch" {
  name                = "${local.name}-watch"
  description         = "End overlong instances, say how long ago each workflow succeeded"
  schedule_expression = "rate(15 minutes)"
}

locals {
  rules = {
    launch = aws_cloudwatch_event_rule.spot_notice
    watch  = aws_cloudwatch_event_rule.watch
  }
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.rules

  rule = each.value.name
  arn  = aws_lambda_function.this[each.key].arn

  retry_policy {
    maximum_retry_attempts       = 20
    maximum_event_age_in_seconds = 3600
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead.arn
  }
}

resource "aws_lambda_permission" "this" {
  for_each = local.rules

  function_name  = aws_lambda_function.this[each.key].function_name
  action         = "lambda:InvokeFunction"
  principal      = "events.amazonaws.com"
  source_arn     = each.value.arn
  source_account = local.account
}

# Before the first run the last success is the day of deployment, so that "run missing" counts from there.
resource "aws_s3_object" "status" {
  for_each = { for schedule in values(var.schedules) : "${schedule.params}/${schedule.workflow}" => schedule }

  bucket       = aws_s3_bucket.archive.id
  key          = "status/${each.key}.json"
  content      = jsonencode({ params = each.value.params, workflow = each.value.workflow, reason = "deployed" })
  content_type = "application/json"
  kms_key_id   = aws_kms_key.this.arn

  lifecycle {
    ignore_changes = all
  }
}
