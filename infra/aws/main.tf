data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

data "aws_availability_zones" "this" {
  state = "available"
}

locals {
  name      = "quire-${var.environment}"
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  zones     = slice(data.aws_availability_zones.this.names, 0, 2)
  namespace = "Quire/${var.environment}"

  # Each is an environment of Elastic Beanstalk, an image target, and the port that it listens on.
  web = var.web_enabled ? {
    service   = { port = 8000, health = "/health/ready" }
    dashboard = { port = 8866, health = "/health" }
    mlflow    = { port = 5000, health = "/health" }
  } : {}

  # HTTP inside the network where there is no certificate.
  web_port = var.certificate_arn == "" ? 80 : 443

  # Environment that every part's container gets: where things are, and no secret.
  environment = {
    AWS_REGION          = var.region
    AWS_DEFAULT_REGION  = var.region
    QUIRE_ENVIRONMENT   = var.environment
    QUIRE_ARCHIVE       = "s3://${aws_s3_bucket.archive.id}/quire"
    QUIRE_ALERTS        = "log,sns,cloudwatch"
    QUIRE_ALERTS_TOPIC  = aws_sns_topic.alerts.arn
    QUIRE_NAMESPACE     = local.namespace
    MLFLOW_TRACKING_URI = var.web_enabled ? local.mlflow_url : ""
  }
}
