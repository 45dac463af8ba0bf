# Security groups: who talks to whom. Nothing is let in from outside the network; nothing can be logged in to.

locals {
  # Whose containers use the database and the MLflow server. Nobody else reaches MLflow: its server asks for no login, and
  # whoever reaches it may move the champion.
  members = merge(
    { runner = aws_security_group.runner.id },
    { for name, group in aws_security_group.web : name => group.id },
    { for group in aws_security_group.notebook : "notebook" => group.id },
  )
  database_clients = merge(local.members, { setup = aws_security_group.setup.id })

  # What asks its clients for a key (service) or a token (dashboard).
  published = [for name in keys(local.web) : name if name != "mlflow"]
}

resource "aws_security_group" "runner" {
  name        = "${local.name}-runner"
  description = "Runs: nothing comes in"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "setup" {
  name        = "${local.name}-setup"
  description = "Roles and tables of the database: nothing comes in"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "notebook" {
  count = var.notebook_enabled ? 1 : 0

  name        = "${local.name}-notebook"
  description = "JupyterLab: nothing comes in, Session Manager goes out"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "web" {
  for_each = local.web

  name        = "${local.name}-${each.key}"
  description = "Instances of ${each.key}: only their load balancer comes in"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "balancer" {
  for_each = local.web

  name        = "${local.name}-${each.key}-balancer"
  description = "Load balancer of ${each.key}: clients inside the network"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "database" {
  name        = "${local.name}-database"
  description = "PostgreSQL: setup, runner, service, dashboard, MLflow and notebook only"
  vpc_id      = aws_vpc.this.id
}

# AWS's own addresses, image layers and data sources. Only encrypted, only outwards.
resource "aws_vpc_security_group_egress_rule" "https" {
  for_each = local.database_clients

  security_group_id = each.value
  description       = "AWS and data sources"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "database" {
  for_each = local.database_clients

  security_group_id            = each.value
  description                  = "PostgreSQL"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = aws_security_group.database.id
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  for_each = local.database_clients

  security_group_id            = aws_security_group.database.id
  description                  = "PostgreSQL from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = each.value
}

resource "aws_vpc_security_group_egress_rule" "mlflow" {
  for_each = var.web_enabled ? { for name, id in local.members : name => id if name != "mlflow" } : {}

  security_group_id            = each.value
  description                  = "MLflow"
  ip_protocol                  = "tcp"
  from_port                    = local.web_port
  to_port                      = local.web_port
  referenced_security_group_id = aws_security_group.balancer["mlflow"].id
}

resource "aws_vpc_security_group_ingress_rule" "mlflow" {
  for_each = var.web_enabled ? { for name, id in local.members : name => id if name != "mlflow" } : {}

  security_group_id            = aws_security_group.balancer["mlflow"].id
  description                  = "MLflow from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = local.web_port
  to_port                      = local.web_port
  referenced_security_group_id = each.value
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = {
    for pair in setproduct(local.published, concat([var.vpc_cidr], var.clients_cidr)) : "${pair[0]}:${pair[1]}" => pair
  }

  security_group_id = aws_security_group.balancer[each.value[0]].id
  description       = "Clients of ${each.value[0]}"
  ip_protocol       = "tcp"
  from_port         = local.web_port
  to_port           = local.web_port
  cidr_ipv4         = each.value[1]
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  for_each = local.web

  security_group_id            = aws_security_group.balancer[each.key].id
  description                  = "Instances of ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 80
  to_port                      = 80
  referenced_security_group_id = aws_security_group.web[each.key].id
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  for_each = local.web

  security_group_id            = aws_security_group.web[each.key].id
  description                  = "Load balancer of ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 80
  to_port                      = 80
  referenced_security_group_id = aws_security_group.balancer[each.key].id
}
