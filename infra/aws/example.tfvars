# Copy to staging.tfvars and prod.tfvars. No secret belongs here.
environment  = "staging"
region       = "eu-west-1"
alert_emails = ["team@example.org"]

# With HTTPS, which prod needs:
# domain          = "quire.example.org"
# zone_id         = "Z0000000000000000000A"
# certificate_arn = "arn:aws:acm:eu-west-1:111122223333:certificate/..."
# clients_cidr    = ["10.8.0.0/16"] # your VPN

# github_repository = "OWNER/NAME"
# notebook_enabled  = true
