#!/usr/bin/env bash
# Run one workflow on this instance, say how it went, and end the instance. It is started by quire-run.service.
#
# However it ends (well, failed, out of time, spot notice, or a mistake in here): the log and status.json are in the
# bucket, the figures in CloudWatch say the truth, and the machine powers off. The exit code is that of `quire run`;
# 124 means out of time, 75 that the spot instance was called back, 70 that the run did not even start.
set -euo pipefail

: "${BOOT_BUCKET:?}" "${BOOT_IMAGE:?}" "${BOOT_RELEASE:?}" "${BOOT_SECRET:?}" "${BOOT_LOG_GROUP:?}" "${BOOT_TIMEOUT_S:?}"
IMDS=${BOOT_IMDS:-http://169.254.169.254}
RUNTIME=${RUNTIME_DIRECTORY:-/run/quire}
GRACE_S=${BOOT_GRACE_S:-90} # a spot notice leaves two minutes
POLL_S=${BOOT_POLL_S:-5}
RETRY_S=${BOOT_RETRY_S:-5}
BUSY_WAIT_S=${BOOT_BUSY_WAIT_S:-30}
LOG=$RUNTIME/boot.log
STARTED=$(date -u +%s)

params=unknown workflow=unknown instance=unknown code=70 reason="the run did not start"

imds() {
    local token
    token=$(curl -fsS --noproxy '*' -m 5 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 300" "$IMDS/latest/api/token") &&
        curl -fsS --noproxy '*' -m 5 -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/$1"
}

again() { # again COMMAND...: up to five times, waiting longer each time
    local try
    for try in 1 2 3 4 5; do
        "$@" && return
        sleep "$((try * RETRY_S))"
    done
    return 1
}

# shellcheck disable=SC2329 # finish calls it
metric() { # metric NAME VALUE UNIT
    again aws cloudwatch put-metric-data --namespace "${QUIRE_NAMESPACE:?}" --metric-name "$1" --value "$2" --unit "$3" \
        --dimensions "UseCase=$params,Workflow=$workflow" || echo "the figure $1 was not sent"
}

# shellcheck disable=SC2329 # the trap calls it
finish() {
    set +e
    trap - EXIT TERM
    [ -z "${watcher:-}" ] || kill "$watcher" 2>/dev/null
    rm -f "$RUNTIME/run.env"
    local seconds succeeded=0 stamp key
    seconds=$(($(date -u +%s) - STARTED))
    [ "$code" -ne 0 ] || succeeded=1
    stamp=$(date -u -d "@$STARTED" +%Y%m%dT%H%M%SZ)
    key=boot/$params/$workflow/$stamp-$instance
    echo "ended: $reason (exit code $code, $seconds s)"
    printf '{"params": "%s", "workflow": "%s", "instance": "%s", "exit_code": %d, "reason": "%s", "seconds": %d, "started_at": "%s"}\n' \
        "$params" "$workflow" "$instance" "$code" "$reason" "$seconds" "$stamp" >"$RUNTIME/status.json"
    metric RunSucceeded "$succeeded" Count
    metric RunSeconds "$seconds" Seconds
    again aws s3 cp --quiet "$LOG" "s3://$BOOT_BUCKET/$key.log"
    again aws s3 cp --quiet "$RUNTIME/status.json" "s3://$BOOT_BUCKET/$key.json"
    # The age of this object is how long ago the workflow last succeeded: the alarm "run missing" looks at it.
    [ "$succeeded" -eq 0 ] || again aws s3 cp --quiet "$RUNTIME/status.json" "s3://$BOOT_BUCKET/status/$params/$workflow.json"
    ${BOOT_POWEROFF:-systemctl poweroff}
    exit "$code"
}

watch_spot() { # tell the container to stop when EC2 wants the instance back
    while sleep "$POLL_S"; do
        if imds spot/instance-action >"$RUNTIME/notice" 2>/dev/null; then
            echo "spot notice: $(cat "$RUNTIME/notice")"
            touch "$RUNTIME/called-back"
            docker stop --time "$GRACE_S" quire-run >/dev/null
            return
        fi
    done
}

run_once() { # run the workflow; returns its exit code, 124 when it took too long
    local left=$((STARTED + BOOT_TIMEOUT_S - $(date -u +%s))) status=0
    [ "$left" -gt 0 ] || return 124
    timeout --signal=TERM --kill-after="$GRACE_S" "$left" \
        docker run --rm --name quire-run --network host --env-file "$RUNTIME/run.env" --stop-timeout "$GRACE_S" \
        --log-driver "${BOOT_LOG_DRIVER:-awslogs}" --log-opt "awslogs-group=$BOOT_LOG_GROUP" \
        --log-opt "awslogs-stream=$params/$workflow/$instance" --log-opt "awslogs-region=$AWS_REGION" \
        "$image" run "params/$params" --workflow "$workflow" || status=$?
    docker rm --force quire-run >/dev/null 2>&1 || true
    if [ "$status" -eq 137 ] && [ "$(date -u +%s)" -ge "$((STARTED + BOOT_TIMEOUT_S))" ]; then status=124; fi
    return "$status"
}

why() { # what an exit code of `quire run` means
    case $1 in
    0) echo "succeeded" ;;
    2) echo "bad configuration" ;;
    3) echo "the data failed validation" ;;
    4) echo "a stage failed" ;;
    5) echo "another run of the same params did not end" ;;
    6) echo "the run is whole but was not archived" ;;
    7) echo "a service did not answer" ;;
    124) echo "out of time" ;;
    125 | 126 | 127) echo "the container did not start" ;;
    137) echo "killed, most likely out of memory" ;;
    *) echo "exit code $1" ;;
    esac
}

mkdir -p "$RUNTIME"
exec > >(tee -a "$LOG") 2>&1
trap finish EXIT
trap 'reason="the instance is shut down"; code=143; exit' TERM

instance=$(again imds instance-id)
params=$(again imds tags/instance/quire:params)
workflow=$(again imds tags/instance/quire:workflow)
echo "instance $instance runs workflow $workflow of params/$params"

tag=$(again aws ssm get-parameter --name "$BOOT_RELEASE" --query Parameter.Value --output text)
image=$BOOT_IMAGE:run-$tag
again aws ecr get-login-password | docker login --username AWS --password-stdin "${BOOT_IMAGE%%/*}" >/dev/null
again docker pull --quiet "$image"

# The secret is on a file system in memory that only root reads, and in no command line.
(
    umask 077
    env | grep -E '^(QUIRE_[A-Z_]+|MLFLOW_[A-Z_]+|AWS_REGION|AWS_DEFAULT_REGION)=' >"$RUNTIME/run.env"
    printf 'QUIRE_DATABASE_URL=%s\n' "$(again aws secretsmanager get-secret-value --secret-id "$BOOT_SECRET" \
        --query SecretString --output text)" >>"$RUNTIME/run.env"
)

watch_spot &
watcher=$!

code=0
run_once || code=$?
# After a spot notice the instance that comes next may find the last one's lease still held.
for _ in $(seq 20); do
    [ "$code" -eq 5 ] || break
    sleep "$BUSY_WAIT_S"
    code=0
    run_once || code=$?
done
reason=$(why "$code")
if [ -e "$RUNTIME/called-back" ] && [ "$code" -ne 0 ]; then
    code=75 reason="called back by a spot notice; a new instance resumes"
fi
exit "$code"
