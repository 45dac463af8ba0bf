#!/usr/bin/env bash
# Renew requirements-dev.lock and, with the same versions, requirements.lock. Needs uv. The locks name no index.
set -euo pipefail
compile() {
    uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@"
}
compile --all-extras --upgrade -o requirements-dev.lock
compile --extra build --constraint requirements-dev.lock -o requirements.lock
