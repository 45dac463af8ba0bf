# Every alarm goes to the topic, which has at least one subscriber, and says there when it is over.

locals {
  # Kinds of alerts that monitoring sends.
  findings = {
    drift       = "the data has drifted"
    performance = "the model predicts worse than it did"
    data        = "the data of the period is in question"
  }

  scheduled = { for name, schedule in var.schedules : name => { UseCase = schedule.params, Workflow = schedule.workflow } }

  alarms = merge(
    {
      for name, dimensions in local.scheduled : "run-failed-${name}" => {
        text   = "The workflow ${name} failed. Log and status are in the bucket below boot/; the runbook says more."
        metric = "RunSucceeded", statistic = "Minimum", operator = "LessThanThreshold", threshold = 1
        period = 900, dimensions = dimensions, missing = "notBreaching"
      }
    },
    {
      for name, dimensions in local.scheduled : "run-overlong-${name}" => {
        text      = "The workflow ${name} took more than three quarters of the ${var.runner_hours} hours it is given."
        metric    = "RunSeconds", statistic = "Maximum", operator = "GreaterThanThreshold"
        threshold = var.runner_hours * 2700, period = 900, dimensions = dimensions, missing = "notBreaching"
      }
    },
    {
      for name, dimensions in local.scheduled : "run-missing-${name}" => {
        text      = "The workflow ${name} has not succeeded for ${var.schedules[name].overdue_hours} hours, or nobody looks."
        metric    = "HoursSinceSuccess", statistic = "Maximum", operator = "GreaterThanThreshold"
        threshold = var.schedules[name].overdue_hours, period = 3600, dimensions = dimensions, missing = "breaching"
      }
    },
    {
      for pair in setproduct(keys(local.findings), toset([for schedule in values(var.schedules) : schedule.params])) :
      join("-", pair) => {
        text   = "${pair[1]}: ${local.findings[pair[0]]}; see the monitoring report."
        metric = "Alerts", statistic = "Sum", operator = "GreaterThanOrEqualToThreshold", threshold = 1
        period = 3600, dimensions = { UseCase = pair[1], Kind = pair[0] }, missing = "notBreaching"
      }
    },
    {
      instance-overlong = {
        text   = "An instance outlived its run and was ended from outside."
        metric = "RunsOverlong", statistic = "Maximum", operator = "GreaterThanThreshold", threshold = 0
        period = 3600, dimensions = {}, missing = "breaching"
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "run" {
  for_each = local.alarms

  alarm_name          = "${local.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = local.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = 1
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${local.name}-dead-letters"
  alarm_description   = "A run was to start and did not, after all retries. The message says which."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead.name }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
}

resource "aws_cloudwatch_metric_alarm" "functions" {
  for_each = local.functions

  alarm_name          = "${local.name}-${each.key}-errors"
  alarm_description   = "The function ${each.key} fails; its log says why."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.this[each.key].function_name }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 900
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
}

resource "aws_cloudwatch_metric_alarm" "web_errors" {
  for_each = aws_elastic_beanstalk_environment.this

  alarm_name          = "${local.name}-${each.key}-errors"
  alarm_description   = "${each.key} answers with 5xx."
  namespace           = "AWS/ElasticBeanstalk"
  metric_name         = "ApplicationRequests5xx"
  dimensions          = { EnvironmentName = each.value.name }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 5
  period              = 300
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
}

resource "aws_cloudwatch_metric_alarm" "web_latency" {
  for_each = { for name, environment in aws_elastic_beanstalk_environment.this : name => environment if name == "service" }

  alarm_name          = "${local.name}-${each.key}-latency"
  alarm_description   = "One request in a hundred to ${each.key} takes longer than a second."
  namespace           = "AWS/ElasticBeanstalk"
  metric_name         = "ApplicationLatencyP99"
  dimensions          = { EnvironmentName = each.value.name }
  statistic           = "Average"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  period              = 300
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
}

resource "aws_cloudwatch_metric_alarm" "web_health" {
  for_each = aws_elastic_beanstalk_environment.this

  alarm_name          = "${local.name}-${each.key}-health"
  alarm_description   = "${each.key} is degraded or down (20: degraded, 25: severe), or reports nothing."
  namespace           = "AWS/ElasticBeanstalk"
  metric_name         = "EnvironmentHealth"
  dimensions          = { EnvironmentName = each.value.name }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 20
  period              = 300
  evaluation_periods  = 2
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
}
