# What clients of the service and viewers of the dashboard must show. Both are made while applying, stand only in secrets,
# and are the same on every instance. People add, rotate and withdraw API keys in the secret "api-keys" (README.md).

locals {
  access_secrets = var.web_enabled ? {
    "api-key"         = "API key of the service, for its first client"
    "api-keys"        = "QUIRE_API_KEYS: NAME:SHA-256 of every key that the service takes, separated by commas"
    "dashboard-token" = "QUIRE_DASHBOARD_TOKEN: what the dashboard asks its viewers for"
  } : {}
  access_arn = { for name, secret in aws_secretsmanager_secret.access : name => secret.arn }
}

module "api_key" {
  source = "./password"
}

module "dashboard_token" {
  source = "./password"
}

resource "aws_secretsmanager_secret" "access" {
  for_each = local.access_secrets

  name                    = "${local.name}/access/${each.key}"
  description             = each.value
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.protect ? 30 : 0
}

resource "aws_secretsmanager_secret_version" "api_key" {
  count = var.web_enabled ? 1 : 0

  secret_id                = aws_secretsmanager_secret.access["api-key"].id
  secret_string_wo_version = var.access_version
  secret_string_wo         = module.api_key.value
}

resource "aws_secretsmanager_secret_version" "api_keys" {
  count = var.web_enabled ? 1 : 0

  secret_id                = aws_secretsmanager_secret.access["api-keys"].id
  secret_string_wo_version = var.access_version
  secret_string_wo         = "first:${sha256(module.api_key.value)}"
}

resource "aws_secretsmanager_secret_version" "dashboard_token" {
  count = var.web_enabled ? 1 : 0

  secret_id                = aws_secretsmanager_secret.access["dashboard-token"].id
  secret_string_wo_version = var.access_version
  secret_string_wo         = module.dashboard_token.value
}
