#!/usr/bin/env bash
# Make a virtual environment from a hashed lock, with byte-code compiled: scripts/setup.sh .venv requirements.lock
set -euo pipefail
venv=$1 lock=$2

# What is installed below such a folder could not start, or MLflow could not make its store.
for sign in '%' ':' '?' '"' '$' '`' "\\" $'\n'; do
    if [[ $PWD == *"$sign"* ]]; then
        echo "The path of this clone, $PWD, holds $(printf '%q' "$sign"), which Python's tools cannot deal with." >&2
        echo "Rename the folder, then run make again." >&2
        exit 2
    fi
done

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.12 python3.11 python3 python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Quire needs Python 3.11 or 3.12; found $(python3 --version 2>&1 || echo none)." >&2
    echo "Install one of them, or name it: make run PYTHON=/path/to/python3.12" >&2
    exit 1
}

pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}

if ! "$venv/bin/python" -c '' 2>/dev/null; then
    python=$(find_python)
    echo "Making $venv with $("$python" --version) ..."
    "$python" -m venv --clear "$venv"
fi

echo "Installing $lock (a minute or two the first time) ..."
# The lock is whole, so pip has nothing to resolve (--no-deps): before 23.3 it would take the newest version of whatever
# another package wants with an extra, and then refuse it for want of a hash.
pip install --no-compile --no-deps --require-hashes -r "$lock"
pip install --no-compile --no-deps --no-build-isolation -e .

# Without byte-code the imports of every notebook take three times as long. Some packages ship templates that do not
# compile: they do not matter.
"$venv/bin/python" -m compileall -q -j 0 "$venv/lib" >/dev/null 2>&1 || true
"$venv/bin/python" -m compileall -q lib
