#!/usr/bin/env bash
# Deploy to AWS, release an image, go back to the one before. See README.md beside this file.
#
#   deploy_aws.sh deploy staging|prod     build, push, plan, confirm, apply, release, smoke test; back by itself if it fails
#   deploy_aws.sh release staging|prod    the same without Terraform: only the image changes (what GitHub does)
#   deploy_aws.sh rollback staging|prod   release the image before this one
#   deploy_aws.sh smoke staging|prod      ask everything whether it is well
#   deploy_aws.sh destroy staging         tear down (needs protect = false applied first)
#
#   DRY_RUN=1  print what would be done; needs no account, no tool and no settings    YES=1  do not ask    TAG=1.2.3  name of the release (default: the commit)
#
# Needs aws (version 2), docker and terraform; settings are in infra/aws/ENV.tfvars.
set -euo pipefail

usage() {
    sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//'
    exit 2
}

command=${1:-} env=${2:-}
case $command in deploy | release | rollback | smoke | destroy) ;; *) usage ;; esac
case $env in staging | prod) ;; *) usage ;; esac

here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$here")
tf=$here/aws
name=quire-$env
targets=(run serve dashboard mlflow)
DRY_RUN=${DRY_RUN:-} YES=${YES:-}

say() { printf '\n== %s\n' "$*" >&2; }
fail() {
    printf 'deploy: %s\n' "$*" >&2
    exit 1
}

# Everything that changes something goes through here; a dry run prints it.
run() {
    if [ -n "$DRY_RUN" ]; then
        printf 'would run: %s\n' "$(printf '%q ' "$@")"
    else
        "$@"
    fi
}

confirm() {
    [ -z "$YES$DRY_RUN" ] || return 0
    local answer
    read -r -p "$1 Type $env to go on: " answer
    [ "$answer" = "$env" ] || fail "stopped; nothing was changed."
}

# What stops a deployment; a dry run says so and goes on.
refuse() {
    [ -n "$DRY_RUN" ] || fail "$*"
    printf 'would stop: %s\n' "$*" >&2
}

need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || refuse "$tool is missing; $here/README.md says where to get it."
    done
}

ask() { # ask AWS; in a dry run without credentials the answer is a placeholder
    if [ -n "$DRY_RUN" ]; then
        aws "$@" 2>/dev/null || echo "ANSWER-OF-AWS"
    else
        aws "$@"
    fi
}

setting() { # setting NAME: a value of ENV.tfvars
    sed -nE "s/^ *$1 *= *\"?([^\"#]*[^\"# ])\"? *(#.*)?$/\1/p" "$settings" | tail -n 1
}

settings=$tf/$env.tfvars
if [ ! -f "$settings" ]; then
    refuse "$settings is not there; copy example.tfvars and fill it in."
    settings=$tf/example.tfvars
fi
region=${AWS_REGION:-$(setting region)}
[ -n "$region" ] || fail "no region: set it in $tf/$env.tfvars."
export AWS_REGION=$region AWS_DEFAULT_REGION=$region AWS_PAGER=""

account=$(ask sts get-caller-identity --query Account --output text)
registry=$account.dkr.ecr.$region.amazonaws.com
repository=$registry/$name
bucket=$name-archive-$account
parameter=/$name/image
state=quire-state-$account-$region

current() { ask ssm get-parameter --name "$parameter" --query Parameter.Value --output text; }

tag_of_commit() {
    [ -n "${TAG:-}" ] && { echo "$TAG"; return; }
    local commit
    commit=$(git -C "$project" rev-parse --short=12 HEAD)
    # What is not committed cannot be told apart later.
    git -C "$project" diff --quiet HEAD -- || refuse "there are changes that are not committed; commit them, or set TAG."
    echo "$commit"
}

build_functions() {
    [ -n "$DRY_RUN" ] || mkdir -p "$tf/build"
    # The same content gives the same file, so that a plan without changes has none.
    (cd "$tf/functions" && run python3 - ../build/functions.zip <<'PYTHON'
import pathlib, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as archive:
    for path in sorted(pathlib.Path().glob("*.py")):
        archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
PYTHON
    )
}

build_and_push() {
    local tag=$1 target
    say "images of release $tag"
    if [ -n "$DRY_RUN" ]; then
        echo "would run: aws ecr get-login-password | docker login --username AWS --password-stdin $registry"
    else
        aws ecr get-login-password | docker login --username AWS --password-stdin "$registry"
    fi
    for target in "${targets[@]}"; do
        # Tags are never moved: an image that is there is this one.
        if [ -z "$DRY_RUN" ] && aws ecr describe-images --repository-name "$name" --image-ids "imageTag=$target-$tag" >/dev/null 2>&1; then
            echo "$target-$tag is there already"
            continue
        fi
        run docker build --platform linux/amd64 --target "$target" --build-arg "COMMIT=$tag" --tag "$repository:$target-$tag" "$project"
        run docker push "$repository:$target-$tag"
    done
}

make_state() {
    if [ -z "$DRY_RUN" ] && aws s3api head-bucket --bucket "$state" >/dev/null 2>&1; then return; fi
    say "bucket for Terraform's state"
    local where=()
    [ "$region" = us-east-1 ] || where=(--create-bucket-configuration "LocationConstraint=$region")
    run aws s3api create-bucket --bucket "$state" "${where[@]}"
    run aws s3api put-public-access-block --bucket "$state" --public-access-block-configuration \
        BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
    run aws s3api put-bucket-versioning --bucket "$state" --versioning-configuration Status=Enabled
    run aws s3api put-bucket-encryption --bucket "$state" --server-side-encryption-configuration \
        '{"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": true}]}'
}

infrastructure() {
    say "infrastructure"
    make_state
    build_functions
    run terraform -chdir="$tf" init -input=false -reconfigure \
        -backend-config="bucket=$state" -backend-config="key=$name.tfstate" -backend-config="region=$region"
    run terraform -chdir="$tf" plan -input=false -var-file="$env.tfvars" -out="$env.tfplan"
    confirm "Apply this plan to $env in account $account, $region?"
    run terraform -chdir="$tf" apply -input=false "$env.tfplan"
    run rm -f "$tf/$env.tfplan"
}

bundle() { # bundle PART TAG FILE: what Beanstalk is given: which image, which port
    local part=$1 tag=$2 file=$3 target port
    case $part in
    service) target=serve port=8000 ;;
    dashboard) target=dashboard port=8866 ;;
    mlflow) target=mlflow port=5000 ;;
    esac
    python3 - "$file" "$repository:$target-$tag" "$port" <<'PYTHON'
import json, sys, zipfile
file, image, port = sys.argv[1:]
content = {"AWSEBDockerrunVersion": "1", "Image": {"Name": image, "Update": "true"}, "Ports": [{"ContainerPort": int(port)}]}
with zipfile.ZipFile(file, "w") as archive:
    archive.writestr("Dockerrun.aws.json", json.dumps(content, indent=2))
PYTHON
}

parts() { # the environments of Beanstalk that there are
    local found
    found=$(ask elasticbeanstalk describe-environments --application-name "$name" --no-include-deleted \
        --query 'Environments[].EnvironmentName' --output text)
    [ -z "$DRY_RUN" ] || [ "$found" != ANSWER-OF-AWS ] || found="$name-mlflow $name-service $name-dashboard"
    # MLflow first: the others ask it for the model.
    local part
    for part in mlflow service dashboard; do
        case " ${found//$'\t'/ } " in *" $name-$part "*) echo "$part" ;; esac
    done
}

wait_for() { # wait_for PART: until Beanstalk is done, and well
    local part=$1 state try
    for try in $(seq "${WAIT_TRIES:-90}"); do
        state=$(aws elasticbeanstalk describe-environments --environment-names "$name-$part" --no-include-deleted \
            --query 'Environments[0].[Status,Health]' --output text)
        case $state in
        Ready*Green) return 0 ;;
        Ready*Red | Terminat*) break ;;
        esac
        sleep "${WAIT_S:-10}"
    done
    echo "$name-$part is $state after $try looks" >&2
    return 1
}

setup_database() { # setup_database TAG: roles and tables as this release needs them; made by an instance of its own
    local tag=$1 answer instance status try
    say "database for release $tag"
    if [ -n "$DRY_RUN" ]; then
        echo "would run: the function $name-launch with {\"setup\": \"$tag\"}, and wait for the instance to end"
        return 0
    fi
    answer=$(mktemp)
    aws lambda invoke --function-name "$name-launch" --cli-binary-format raw-in-base64-out \
        --payload "{\"setup\": \"$tag\", \"id\": \"$tag-$(date -u +%s)\"}" "$answer" >/dev/null
    instance=$(sed -nE 's/.*"instance": "(i-[0-9a-f]+)".*/\1/p' "$answer")
    rm -f "$answer"
    [ -n "$instance" ] || fail "no instance was started to set up the database; see the log of the function $name-launch."
    for try in $(seq "${WAIT_TRIES:-90}"); do
        if status=$(aws s3 cp --quiet "s3://$bucket/boot/setup/$instance.json" - 2>/dev/null); then
            [[ $status == *'"exit_code": 0'* ]] || fail "the database was not set up: see s3://$bucket/boot/setup/$instance.log"
            echo "roles and tables are ready ($instance, look $try)"
            return 0
        fi
        sleep "${WAIT_S:-10}"
    done
    fail "instance $instance did not say how the setup of the database went; see s3://$bucket/boot/setup/."
}

point_to() { # point_to TAG: every part runs this release
    local tag=$1 part label scratch
    scratch=$(mktemp -d)
    # shellcheck disable=SC2064 # expanded now, on purpose
    trap "rm -rf '$scratch'" RETURN
    run aws ssm put-parameter --name "$parameter" --value "$tag" --type String --overwrite || return
    for part in $(parts); do
        label=$part-$tag
        bundle "$part" "$tag" "$scratch/$label.zip" || return
        run aws s3 cp --only-show-errors "$scratch/$label.zip" "s3://$bucket/releases/$label.zip" || return
        if [ -n "$DRY_RUN" ] || [ "$(aws elasticbeanstalk describe-application-versions --application-name "$name" \
            --version-labels "$label" --query 'length(ApplicationVersions)' --output text)" = 0 ]; then
            run aws elasticbeanstalk create-application-version --application-name "$name" --version-label "$label" \
                --source-bundle "S3Bucket=$bucket,S3Key=releases/$label.zip" --process || return
        fi
        run aws elasticbeanstalk update-environment --environment-name "$name-$part" --version-label "$label" || return
        [ -n "$DRY_RUN" ] || wait_for "$part" || return
    done
}

smoke() { # every part is well, and runs the release that it should
    say "smoke test"
    local tag part label
    tag=$(current)
    if [ -n "$DRY_RUN" ]; then
        echo "would check: the image run-$tag is there; each environment is Green and runs $tag"
        return 0
    fi
    aws ecr describe-images --repository-name "$name" --image-ids "imageTag=run-$tag" >/dev/null || return
    for part in $(parts); do
        wait_for "$part" || return
        label=$(aws elasticbeanstalk describe-environments --environment-names "$name-$part" --no-include-deleted \
            --query 'Environments[0].VersionLabel' --output text)
        [ "$label" = "$part-$tag" ] || { echo "$name-$part runs $label instead of $part-$tag" >&2; return 1; }
        echo "$name-$part: Green, $label"
    done
}

release() { # release TAG: roll out and look; go back by itself if it is not well
    local tag=$1 before
    before=$(current)
    say "release $tag (now: $before)"
    if point_to "$tag" && smoke; then
        [ -n "$DRY_RUN" ] || say "$env runs $tag"
        return 0
    fi
    if [ "$before" = none ] || [ "$before" = "$tag" ]; then
        fail "release $tag is not well, and there is none to go back to. See \`aws elasticbeanstalk describe-events\`."
    fi
    say "release $tag is not well: back to $before"
    point_to "$before" || fail "going back to $before failed too; the runbook says what to do by hand."
    fail "release $tag was taken back; $env runs $before."
}

before_this() { # the release before the current one
    local now
    now=$(current)
    ask ssm get-parameter-history --name "$parameter" --query 'Parameters[].Value' --output text | tr '\t' '\n' |
        grep -vxF -e "$now" -e none | tail -n 1
}

need aws
case $command in
deploy)
    need docker terraform python3
    tag=$(tag_of_commit)
    infrastructure
    build_and_push "$tag"
    setup_database "$tag"
    release "$tag"
    ;;
release)
    need docker python3
    tag=$(tag_of_commit)
    confirm "Release $tag to $env in account $account, $region?"
    build_and_push "$tag"
    setup_database "$tag"
    release "$tag"
    ;;
rollback)
    need python3
    tag=$(before_this) || true
    [ -n "$tag$DRY_RUN" ] || fail "there is no release before this one."
    tag=${tag:-THE-RELEASE-BEFORE}
    confirm "Go back to release $tag in $env?"
    point_to "$tag"
    smoke
    ;;
smoke) smoke ;;
destroy)
    need terraform
    confirm "Destroy everything of $env in account $account, data included?"
    run terraform -chdir="$tf" init -input=false -reconfigure \
        -backend-config="bucket=$state" -backend-config="key=$name.tfstate" -backend-config="region=$region"
    run terraform -chdir="$tf" destroy -var-file="$env.tfvars"
    ;;
esac
