#!/usr/bin/env bash
# Power off when no kernel is busy and nobody used JupyterLab for IDLE_MINUTES (60). Its disk stays.
set -euo pipefail

url=${JUPYTER_URL:-http://127.0.0.1:8888}
minutes=${IDLE_MINUTES:-60}
token=$(cat "${TOKEN_FILE:-/run/quire/token}")

ask() {
    # The token goes through a pipe, not into the list of processes.
    curl -fsS --noproxy '*' -m 10 --config - "$url/api/$1" <<<"header = \"Authorization: token $token\""
}

if ! status=$(ask status) || ! kernels=$(ask kernels); then
    echo "JupyterLab does not answer; nothing is stopped"
    exit 0
fi
last=$(sed -nE 's/.*"last_activity": ?"([^"]+)".*/\1/p' <<<"$status")
idle=$((($(date -u +%s) - $(date -u -d "$last" +%s)) / 60))
if grep -q '"execution_state": *"busy"' <<<"$kernels"; then
    echo "a kernel is busy"
elif [ "$idle" -ge "$minutes" ]; then
    echo "idle for $idle minutes: stopping"
    ${POWEROFF:-systemctl poweroff}
else
    echo "idle for $idle of $minutes minutes"
fi
