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

run "service_and_dashboard_ask_who_it_is" {
  command = plan

  assert {
    condition     = contains(keys(local.web_secret["service"]), "QUIRE_API_KEYS") && contains(keys(local.web_secret["dashboard"]), "QUIRE_DASHBOARD_TOKEN")
    error_message = "the service gets its API keys and the dashboard its token from Secrets Manager"
  }

  assert {
    condition     = toset(keys(aws_secretsmanager_secret.access)) == toset(["api-key", "api-keys", "dashboard-token"])
    error_message = "keys and token are secrets"
  }

  assert {
    condition = alltrue(flatten([
      for environment in values(local.web_environment) : [
        for name in keys(environment) : length(regexall("KEYS|TOKEN|PASSWORD|DATABASE_URL|STORE_URI", name)) == 0
      ]
    ]))
    error_message = "no secret is a plain variable"
  }
}

run "every_part_has_its_own_role_in_the_database" {
  command = plan

  variables {
    notebook_enabled = true
  }

  assert {
    condition     = length(distinct([for role in values(local.database_roles) : role.user])) == length(local.database_roles)
    error_message = "no two parts share a login"
  }

  assert {
    condition     = toset(keys(local.database_roles)) == toset(concat(["owner", "runner", "notebook"], keys(local.web)))
    error_message = "every part that connects has a role"
  }

  assert {
    condition     = local.database_roles["owner"].user == aws_db_instance.this.username
    error_message = "the administrator is the owner's role, which no part connects as"
  }

  assert {
    condition     = toset(keys(aws_secretsmanager_secret.database)) == toset(keys(local.database_roles))
    error_message = "every role has a secret of its own"
  }
}

run "mlflow_is_reached_by_members_only" {
  command = plan

  variables {
    clients_cidr = ["192.168.0.0/16"]
  }

  assert {
    condition     = alltrue([for name in keys(aws_vpc_security_group_ingress_rule.clients) : !startswith(name, "mlflow:")])
    error_message = "no address is let in to MLflow"
  }

  assert {
    condition     = alltrue([for rule in values(aws_vpc_security_group_ingress_rule.mlflow) : rule.cidr_ipv4 == null])
    error_message = "only security groups are let in to MLflow"
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.clients) == 4
    error_message = "clients reach service and dashboard, from the network and from clients_cidr"
  }
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
    condition     = length(aws_secretsmanager_secret.access) == 0
    error_message = "no keys and no token"
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
