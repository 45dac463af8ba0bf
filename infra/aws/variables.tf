variable "environment" {
  description = "staging or prod; part of every name."
  type        = string

  validation {
    condition     = contains(["staging", "prod"], var.environment)
    error_message = "environment is staging or prod."
  }
}

variable "region" {
  description = "AWS region, such as eu-west-1."
  type        = string
}

variable "vpc_cidr" {
  description = "Addresses of the network; a /16 to /20."
  type        = string
  default     = "10.40.0.0/16"
}

variable "schedules" {
  description = "What runs when: a use case of params/, a workflow, and a cron expression of EventBridge Scheduler in UTC. overdue_hours: the alarm 'run missing' rings when the last success is longer ago than this."
  type = map(object({
    params        = string
    workflow      = string
    cron          = string
    overdue_hours = number
  }))
  default = {
    score = { params = "demo", workflow = "score", cron = "cron(0 6 ? * MON *)", overdue_hours = 174 }
    train = { params = "demo", workflow = "train", cron = "cron(0 3 1 * ? *)", overdue_hours = 756 }
  }
}

variable "runner_instance_type" {
  description = "Instance type of a run."
  type        = string
  default     = "m7i.large"
}

variable "runner_market" {
  description = "spot (falls back to on-demand where there is no capacity) or on-demand."
  type        = string
  default     = "spot"

  validation {
    condition     = contains(["spot", "on-demand"], var.runner_market)
    error_message = "runner_market is spot or on-demand."
  }
}

variable "runner_hours" {
  description = "A run that takes longer is stopped; an instance that lives an hour longer still is ended from outside."
  type        = number
  default     = 4
}

variable "image_tag" {
  description = "Tag of the first image. Releases change the parameter that holds it, not this."
  type        = string
  default     = "none"
}

variable "web_enabled" {
  description = "Whether service, dashboard and MLflow run on Elastic Beanstalk."
  type        = bool
  default     = true
}

variable "web_instance_type" {
  description = "Instance type of service, dashboard and MLflow."
  type        = string
  default     = "t3.medium"
}

variable "certificate_arn" {
  description = "ACM certificate for the HTTPS listeners. Empty: plain HTTP, inside the network only, and not in prod."
  type        = string
  default     = ""

  validation {
    condition     = var.environment != "prod" || !var.web_enabled || var.certificate_arn != ""
    error_message = "prod needs certificate_arn: the HTTPS listeners of service, dashboard and MLflow."
  }
}

variable "domain" {
  description = "Domain that service, dashboard and MLflow get names in, such as quire.example.org; the certificate must cover *.DOMAIN."
  type        = string
  default     = ""

  validation {
    condition     = (var.domain == "") == (var.certificate_arn == "") && (var.domain == "") == (var.zone_id == "")
    error_message = "domain, zone_id and certificate_arn go together."
  }
}

variable "zone_id" {
  description = "Route 53 hosted zone of the domain; a private one is enough."
  type        = string
  default     = ""
}

variable "clients_cidr" {
  description = "Who may reach service and dashboard: addresses of a VPN or peered network. Both ask for a key or a token; MLflow is reached by members only."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.clients_cidr, "0.0.0.0/0")
    error_message = "clients_cidr must not be the whole internet."
  }
}

variable "database_instance_class" {
  description = "RDS instance class."
  type        = string
  default     = "db.t4g.micro"
}

variable "database_password_version" {
  description = "Raise it to rotate the passwords of all roles of the database."
  type        = number
  default     = 1
}

variable "access_version" {
  description = "Raise it for a new dashboard token and a new first API key; keys that people added to the secret are dropped."
  type        = number
  default     = 1
}

variable "keep_days" {
  description = "Days that runs stay in the archive; keep archive.keep_days in config.yaml at or below it."
  type        = number
  default     = 365
}

variable "log_days" {
  description = "Days that logs stay."
  type        = number
  default     = 365
}

variable "alert_emails" {
  description = "Who gets the alarms by e-mail. Each must confirm once."
  type        = list(string)

  validation {
    condition     = length(var.alert_emails) > 0
    error_message = "alert_emails is empty: an alarm that nobody gets is none."
  }
}

variable "budget_usd" {
  description = "Monthly budget in US dollars; 80% spent and 100% forecast are mailed. 0: none. infra/README.md has the costs."
  type        = number
  default     = 300
}

variable "notebook_enabled" {
  description = "Whether there is a JupyterLab instance, reached by Session Manager's port forwarding."
  type        = bool
  default     = false
}

variable "notebook_instance_type" {
  description = "Instance type of JupyterLab."
  type        = string
  default     = "t3.large"
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose workflows may release. Empty: none."
  type        = string
  default     = ""
}

variable "protect" {
  description = "Whether database and buckets refuse to be destroyed. Set to false, apply, then destroy."
  type        = bool
  default     = true
}
