output "archive" {
  description = "Bucket of runs, models, boot logs and releases."
  value       = aws_s3_bucket.archive.id
}

output "registry" {
  description = "Where images are pushed to."
  value       = aws_ecr_repository.this.repository_url
}

output "release_parameter" {
  description = "SSM parameter that says which release runs."
  value       = aws_ssm_parameter.image.name
}

output "alerts_topic" {
  description = "SNS topic of alarms and alerts."
  value       = aws_sns_topic.alerts.arn
}

output "launch_function" {
  description = "Function that starts a run: invoke it with params, workflow and id."
  value       = aws_lambda_function.this["launch"].function_name
}

output "web" {
  description = "Addresses of service, dashboard and MLflow, inside the network."
  value       = local.web_url
}

output "notebook" {
  description = "Instance of JupyterLab, if there is one."
  value       = one(aws_instance.notebook[*].id)
}

output "release_role" {
  description = "Role of the workflow deploy.yml."
  value       = one(aws_iam_role.release[*].arn)
}
