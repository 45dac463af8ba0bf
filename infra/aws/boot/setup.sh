#!/usr/bin/env bash
# Make the database's roles and tables for one release, say how it went, and end the instance. deploy_aws.sh starts it by
# way of the function launch, and waits for boot/setup/INSTANCE.json in the bucket.
set -euo pipefail

: "${BOOT_BUCKET:?}" "${BOOT_IMAGE:?}" "${BOOT_SECRETS:?}"
IMDS=${BOOT_IMDS:-http://169.254.169.254}
RUNTIME=${RUNTIME_DIRECTORY:-/run/quire}
LOG=$RUNTIME/setup.log
instance=unknown release=unknown code=70

imds() {
    local token
    token=$(curl -fsS -m 5 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 300" "$IMDS/latest/api/token") &&
        curl -fsS -m 5 -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/$1"
}

# shellcheck disable=SC2329 # the trap calls it
finish() {
    set +e
    trap - EXIT TERM
    rm -f "$RUNTIME/setup.env"
    printf '{"release": "%s", "exit_code": %d}\n' "$release" "$code" >"$RUNTIME/status.json"
    aws s3 cp --quiet "$LOG" "s3://$BOOT_BUCKET/boot/setup/$instance.log"
    aws s3 cp --quiet "$RUNTIME/status.json" "s3://$BOOT_BUCKET/boot/setup/$instance.json"
    ${BOOT_POWEROFF:-systemctl poweroff}
    exit "$code"
}

mkdir -p "$RUNTIME"
exec > >(tee -a "$LOG") 2>&1
trap finish EXIT
trap 'code=143; exit' TERM

instance=$(imds instance-id)
release=$(imds tags/instance/quire:release)
aws ecr get-login-password | docker login --username AWS --password-stdin "${BOOT_IMAGE%%/*}" >/dev/null
docker pull --quiet "$BOOT_IMAGE:run-$release"

# BOOT_SECRETS: ROLE=SECRET, separated by blanks. The addresses are on a file system in memory that only root reads.
(
    umask 077
    separator=""
    printf 'DATABASE_URLS={' >"$RUNTIME/setup.env"
    for pair in $BOOT_SECRETS; do
        url=$(aws secretsmanager get-secret-value --secret-id "${pair#*=}" --query SecretString --output text)
        printf '%s"%s": "%s"' "$separator" "${pair%%=*}" "$url" >>"$RUNTIME/setup.env"
        separator=", "
    done
    printf '}\n' >>"$RUNTIME/setup.env"
)
code=0
docker run --rm --name quire-setup --network host --env-file "$RUNTIME/setup.env" --entrypoint python \
    "$BOOT_IMAGE:run-$release" /opt/database.py || code=$?
exit "$code"
