# A password that is new each time it is asked for, and kept nowhere. It is a module so that tests with mock providers,
# which know no ephemeral resources, can put another one in its place.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

ephemeral "aws_secretsmanager_random_password" "this" {
  password_length     = 40
  exclude_punctuation = true # it becomes part of a URL
}

output "value" {
  description = "Forty letters and digits."
  value       = ephemeral.aws_secretsmanager_random_password.this.random_password
  ephemeral   = true
}
