# Service, dashboard and MLflow's server on Elastic Beanstalk: Docker platform, behind load balancers that are reached
# from inside the network only. Releases (deploy_aws.sh) say which image runs; Terraform says everything else.

locals {
  # Beanstalk's own names are unique in a region, for all accounts.
  web_prefix = { for name in keys(local.web) : name => "${local.name}-${name}-${local.account}" }
  web_host = {
    for name, prefix in local.web_prefix :
    name => var.domain == "" ? "${prefix}.${var.region}.elasticbeanstalk.com" : "${name}.${var.domain}"
  }
  web_url    = { for name, host in local.web_host : name => "${var.domain == "" ? "http" : "https"}://${host}" }
  mlflow_url = var.web_enabled ? local.web_url["mlflow"] : ""

  web_environment = {
    service   = local.environment
    dashboard = local.environment
    mlflow = {
      AWS_REGION                                = var.region
      AWS_DEFAULT_REGION                        = var.region
      MLFLOW_ARTIFACTS_DESTINATION              = "s3://${aws_s3_bucket.archive.id}/mlflow"
      MLFLOW_SERVER_ALLOWED_HOSTS               = join(",", compact([lookup(local.web_host, "mlflow", ""), "localhost:*"]))
      MLFLOW_DISABLE_TELEMETRY                  = "true"
      MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE = "false"
    }
  }

  web_secret = {
    service = {
      QUIRE_DATABASE_URL = aws_secretsmanager_secret.database["service"].arn
      QUIRE_API_KEYS     = lookup(local.access_arn, "api-keys", "")
    }
    dashboard = {
      QUIRE_DATABASE_URL    = aws_secretsmanager_secret.database["dashboard"].arn
      QUIRE_DASHBOARD_TOKEN = lookup(local.access_arn, "dashboard-token", "")
    }
    mlflow = { MLFLOW_BACKEND_STORE_URI = aws_secretsmanager_secret.database["mlflow"].arn }
  }

  listener = var.certificate_arn == "" ? {
    "aws:elbv2:listener:default" = { ListenerEnabled = "true" }
    } : {
    "aws:elbv2:listener:default" = { ListenerEnabled = "false" }
    "aws:elbv2:listener:443" = {
      ListenerEnabled    = "true"
      Protocol           = "HTTPS"
      SSLCertificateArns = var.certificate_arn
      SSLPolicy          = "ELBSecurityPolicy-TLS13-1-2-2021-06"
    }
  }

  web_settings = {
    for name, web in local.web : name => merge(local.listener, {
      "aws:ec2:vpc" = {
        VPCId                    = aws_vpc.this.id
        Subnets                  = join(",", aws_subnet.private[*].id)
        ELBSubnets               = join(",", aws_subnet.private[*].id)
        ELBScheme                = "internal"
        AssociatePublicIpAddress = "false"
      }
      "aws:ec2:instances" = { InstanceTypes = var.web_instance_type }
      "aws:autoscaling:launchconfiguration" = {
        IamInstanceProfile             = aws_iam_instance_profile.web[name].name
        SecurityGroups                 = aws_security_group.web[name].id
        DisableDefaultEC2SecurityGroup = "true"
        DisableIMDSv1                  = "true"
        RootVolumeType                 = "gp3"
        RootVolumeSize                 = "30"
      }
      "aws:autoscaling:asg" = {
        MinSize = var.environment == "prod" && name == "service" ? "2" : "1"
        MaxSize = name == "service" ? "4" : "2"
      }
      "aws:autoscaling:updatepolicy:rollingupdate" = { RollingUpdateEnabled = "true", RollingUpdateType = "Health" }
      "aws:elasticbeanstalk:command" = {
        DeploymentPolicy = "RollingWithAdditionalBatch"
        BatchSizeType    = "Fixed"
        BatchSize        = "1"
        Timeout          = "900"
      }
      "aws:elasticbeanstalk:environment" = {
        EnvironmentType  = "LoadBalanced"
        LoadBalancerType = "application"
        ServiceRole      = aws_iam_role.beanstalk[0].name
      }
      "aws:elasticbeanstalk:environment:process:default" = {
        HealthCheckPath     = web.health
        HealthCheckInterval = "15"
        MatcherHTTPCode     = "200"
        Port                = "80"
        Protocol            = "HTTP"
      }
      "aws:elbv2:loadbalancer" = {
        SecurityGroups       = aws_security_group.balancer[name].id
        ManagedSecurityGroup = aws_security_group.balancer[name].id
      }
      "aws:elasticbeanstalk:healthreporting:system" = {
        SystemType = "enhanced"
        ConfigDocument = jsonencode({
          Version = 1
          CloudWatchMetrics = {
            Environment = { ApplicationRequests5xx = 60, ApplicationRequestsTotal = 60, ApplicationLatencyP99 = 60 }
            Instance    = {}
          }
        })
      }
      "aws:elasticbeanstalk:cloudwatch:logs" = {
        StreamLogs        = "true"
        DeleteOnTerminate = "false"
        RetentionInDays   = tostring(var.log_days)
      }
      "aws:elasticbeanstalk:managedactions" = {
        ManagedActionsEnabled        = "true"
        PreferredStartTime           = "Tue:04:00"
        ServiceRoleForManagedUpdates = "AWSServiceRoleForElasticBeanstalkManagedUpdates"
      }
      "aws:elasticbeanstalk:managedactions:platformupdate" = {
        UpdateLevel            = "minor"
        InstanceRefreshEnabled = "true"
      }
      "aws:elasticbeanstalk:application:environment"        = local.web_environment[name]
      "aws:elasticbeanstalk:application:environmentsecrets" = local.web_secret[name]
    })
  }
}

resource "aws_elastic_beanstalk_application" "this" {
  count = var.web_enabled ? 1 : 0

  name        = local.name
  description = "Quire ${var.environment}"

  appversion_lifecycle {
    service_role          = aws_iam_role.beanstalk[0].arn
    max_count             = 60
    delete_source_from_s3 = false
  }
}

data "aws_elastic_beanstalk_solution_stack" "docker" {
  count = var.web_enabled ? 1 : 0

  most_recent = true
  name_regex  = "^64bit Amazon Linux 2023 .* running Docker$"
}

resource "aws_elastic_beanstalk_environment" "this" {
  for_each = local.web

  name                = "${local.name}-${each.key}"
  application         = aws_elastic_beanstalk_application.this[0].name
  solution_stack_name = data.aws_elastic_beanstalk_solution_stack.docker[0].name
  cname_prefix        = local.web_prefix[each.key]

  dynamic "setting" {
    for_each = merge([
      for namespace, options in local.web_settings[each.key] : {
        for name, value in options : "${namespace}/${name}" => { namespace = namespace, name = name, value = value }
      }
    ]...)

    content {
      namespace = setting.value.namespace
      name      = setting.value.name
      value     = setting.value.value
    }
  }

  lifecycle {
    # Releases say which version runs; managed updates renew the platform.
    ignore_changes = [version_label, solution_stack_name]
  }
}

resource "aws_route53_record" "web" {
  for_each = var.domain == "" ? {} : local.web

  zone_id = var.zone_id
  name    = local.web_host[each.key]
  type    = "CNAME"
  ttl     = 60
  records = [aws_elastic_beanstalk_environment.this[each.key].cname]
}
