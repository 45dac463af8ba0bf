# PostgreSQL for predictions (database quire) and for MLflow's tracking and registry (database mlflow).

resource "aws_db_subnet_group" "this" {
  name       = local.name
  subnet_ids = aws_subnet.private[*].id
}

resource "aws_db_parameter_group" "this" {
  name   = local.name
  family = "postgres16"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }
}

# Passwords are made while applying and stand only in secrets: neither the plan nor the state holds them. The owner makes
# roles and tables (boot/database.py) and nothing else uses it; every part connects as a role of its own.
locals {
  database_roles = {
    owner     = { user = "quire", database = "quire" }
    runner    = { user = "quire_runner", database = "quire" }
    notebook  = { user = "quire_notebook", database = "quire" }
    service   = { user = "quire_service", database = "quire" }
    dashboard = { user = "quire_dashboard", database = "quire" }
    mlflow    = { user = "mlflow", database = "mlflow" }
  }
}

module "password" {
  source   = "./password"
  for_each = local.database_roles
}

resource "aws_db_instance" "this" {
  identifier     = local.name
  engine         = "postgres"
  engine_version = "16"
  instance_class = var.database_instance_class

  db_name             = local.database_roles["owner"].database
  username            = local.database_roles["owner"].user
  password_wo         = module.password["owner"].value
  password_wo_version = var.database_password_version

  allocated_storage     = 20
  max_allocated_storage = 100
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.this.arn

  db_subnet_group_name                = aws_db_subnet_group.this.name
  vpc_security_group_ids              = [aws_security_group.database.id]
  parameter_group_name                = aws_db_parameter_group.this.name
  publicly_accessible                 = false
  iam_database_authentication_enabled = true
  multi_az                            = var.environment == "prod"
  ca_cert_identifier                  = "rds-ca-rsa2048-g1"

  backup_retention_period         = 14
  backup_window                   = "02:00-02:30"
  maintenance_window              = "sun:04:00-sun:04:30"
  copy_tags_to_snapshot           = true
  auto_minor_version_upgrade      = true
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
  performance_insights_enabled    = true
  performance_insights_kms_key_id = aws_kms_key.this.arn

  deletion_protection       = var.protect
  skip_final_snapshot       = !var.protect
  final_snapshot_identifier = var.protect ? "${local.name}-final" : null
}

locals {
  database_host = "${aws_db_instance.this.address}:${aws_db_instance.this.port}"
}

# What a container needs to connect: one URL for each role. Beanstalk hands a whole secret on as one variable.
resource "aws_secretsmanager_secret" "database" {
  for_each = local.database_roles

  name                    = "${local.name}/database/${each.key}"
  description             = "SQLAlchemy URL of the database for the role ${each.key}"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.protect ? 30 : 0
}

resource "aws_secretsmanager_secret_version" "database" {
  for_each = local.database_roles

  secret_id                = aws_secretsmanager_secret.database[each.key].id
  secret_string_wo_version = var.database_password_version
  secret_string_wo         = "postgresql+psycopg://${each.value.user}:${module.password[each.key].value}@${local.database_host}/${each.value.database}?sslmode=require"
}
