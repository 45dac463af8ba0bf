#!/usr/bin/env bash
# Start JupyterLab on this instance's loopback; Session Manager forwards the port. The work lives in /home/quire-work.
set -euo pipefail

: "${BOOT_IMAGE:?}" "${BOOT_RELEASE:?}" "${BOOT_SECRET:?}" "${RUNTIME_DIRECTORY:?}"
tag=$(aws ssm get-parameter --name "$BOOT_RELEASE" --query Parameter.Value --output text)
aws ecr get-login-password | docker login --username AWS --password-stdin "${BOOT_IMAGE%%/*}" >/dev/null
docker pull --quiet "$BOOT_IMAGE:run-$tag"
install --directory --owner 10001 --group 10001 /home/quire-work
# The project as the image has it, the first time; afterwards what people made of it.
if [ ! -e /home/quire-work/notebooks ]; then
    docker run --rm --user 0 --entrypoint sh --volume /home/quire-work:/work "$BOOT_IMAGE:run-$tag" \
        -c 'cp -r /app/. /work/ && chown -R 10001:10001 /work'
fi
(
    umask 077
    env | grep -E '^(QUIRE_[A-Z_]+|MLFLOW_[A-Z_]+|AWS_REGION|AWS_DEFAULT_REGION)=' >"$RUNTIME_DIRECTORY/notebook.env"
    printf 'QUIRE_DATABASE_URL=%s\nQUIRE_OUTPUTS=/work/outputs\nQUIRE_ROOT=/work\n' "$(aws secretsmanager get-secret-value \
        --secret-id "$BOOT_SECRET" --query SecretString --output text)" >>"$RUNTIME_DIRECTORY/notebook.env"
)
# Whoever may open a session on the instance may read it; a page of another site in the same browser may not.
[ -s "$RUNTIME_DIRECTORY/token" ] || (umask 077 && head -c 24 /dev/urandom | base64 | tr -dc 'a-zA-Z0-9' >"$RUNTIME_DIRECTORY/token")
printf 'JUPYTER_TOKEN=%s\n' "$(cat "$RUNTIME_DIRECTORY/token")" >>"$RUNTIME_DIRECTORY/notebook.env"
docker rm --force quire-notebook >/dev/null 2>&1 || true
exec docker run --rm --name quire-notebook --network host --env-file "$RUNTIME_DIRECTORY/notebook.env" \
    --volume /home/quire-work:/work --workdir /work --entrypoint jupyter "$BOOT_IMAGE:run-$tag" \
    lab --ip 127.0.0.1 --port 8888 --no-browser --notebook-dir=/work
