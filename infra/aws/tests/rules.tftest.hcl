# What the variables refuse and what the switches do; no account is asked. Mock providers know no ephemeral resources,
# so the module that makes the password is left out for these: tests/infra/test_terraform.py runs them that way.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_data "aws_elastic_beanstalk_solution_stack" {
    defaults = { name = "64bit Amazon Linux 2023 v4.5.0 running Docker" }
  }
}

variables {
  environment  = "staging"
  region       = "eu-west-1"
  alert_emails = ["ops@example.org"]
}

run "staging_needs_no_certificate" {
  command = plan

  assert {
    condition     = length(aws_elastic_beanstalk_environment.this) == 3
    error_message = "service, dashboard and mlflow run on Beanstalk"
  }

  assert {
    condition     = alltrue([for group in values(local.listener) : group.ListenerEnabled == "true"])
    error_message = "without a certificate the plain listener is on"
  }

  assert {
    condition     = length(aws_instance.notebook) == 0
    error_message = "JupyterLab is off unless asked for"
  }

  assert {
    condition     = length(aws_iam_role.release) == 0
    error_message = "without a repository nobody releases from GitHub"
  }
}

run "prod_listens_with_https_only" {
  command = plan

  variables {
    environment     = "prod"
    certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
    domain          = "quire.example.org"
    zone_id         = "Z0000000000000000000A"
  }

  assert {
    condition     = local.listener["aws:elbv2:listener:default"].ListenerEnabled == "false"
    error_message = "the plain listener is off"
  }

  assert {
    condition     = local.listener["aws:elbv2:listener:443"].Protocol == "HTTPS"
    error_message = "443 speaks HTTPS"
  }

  assert {
    condition     = local.mlflow_url == "https://mlflow.quire.example.org"
    error_message = "MLflow is reached by its name"
  }

  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.deletion_protection
    error_message = "prod's database has a second zone and refuses to go"
  }

  assert {
    condition     = local.web_settings["service"]["aws:autoscaling:asg"].MinSize == "2"
    error_message = "prod's service has two instances"
  }
}

run "prod_without_a_certificate_is_refused" {
  command = plan

  variables {
    environment = "prod"
  }

  expect_failures = [var.certificate_arn]
}

run "an_alarm_that_nobody_gets_is_refused" {
  command = plan

  variables {
    alert_emails = []
  }

  expect_failures = [var.alert_emails]
}

run "the_whole_internet_is_no_client" {
  command = plan

  variables {
    clients_cidr = ["0.0.0.0/0"]
  }

  expect_failures = [var.clients_cidr]
}

run "an_unknown_environment_is_refused" {
  command = plan

  variables {
    environment = "test"
  }

  expect_failures = [var.environment]
}

run "without_the_web_nothing_of_it_is_left" {
  command = plan

  variables {
    web_enabled = false
    budget_usd  = 0
  }

  assert {
    condition     = length(aws_elastic_beanstalk_application.this) == 0 && length(aws_iam_role.web) == 0
    error_message = "no Beanstalk"
  }

  assert {
    condition     = length(aws_budgets_budget.this) == 0
    error_message = "no budget"
  }

  assert {
    condition     = length(aws_scheduler_schedule.this) == 2
    error_message = "runs go on"
  }
}
