#!/usr/bin/env bash
# Make the environments of a checkout; what is up to date is left alone.
#
#   .venv             the engine's Python with the pinned packages and the command rs-segment
#   build/qgis-venv   QGIS's Python plus pytest, for the plugin's tests (only where QGIS is)
#
# RS_SEGMENT_BASE_PYTHON chooses the Python that .venv is made from (3.10 or newer).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

qgis_python=${QGIS_PYTHON:-/usr/bin/python3}
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-600}

say() { printf 'setup_engine: %s\n' "$*" >&2; }

fail() {
    say "$1"
    say "hint: $2"
    exit 1
}

base_python() {
    local name
    for name in "${RS_SEGMENT_BASE_PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
        [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null &&
            "$name" -c 'import sys; print(sys.executable)' && return
    done
    fail "no Python 3.10 or newer was found" "install one, or set RS_SEGMENT_BASE_PYTHON to its path"
}

# uv from the machine, or a private one under build/: never into the machine's own Python, which
# may be managed by the system (PEP 668) or by pyenv.
find_uv() {
    if uv --version >/dev/null 2>&1; then
        command -v uv
        return
    fi
    local python=$1 folder=$PWD/build/uv
    if ! "$folder/bin/uv" --version >/dev/null 2>&1; then
        rm -rf "$folder"
        if "$python" -m venv "$folder" >/dev/null 2>&1; then
            "$folder/bin/python" -m pip install -q --disable-pip-version-check uv >&2
        elif "$python" -m pip --version >/dev/null 2>&1; then
            "$python" -m pip install -q --disable-pip-version-check --target "$folder" uv >&2
        else
            fail "$python has neither venv nor pip, and there is no uv" \
                "install python3-venv (Debian, Ubuntu) or uv, then run this again"
        fi
    fi
    printf '%s\n' "$folder/bin/uv"
}

fingerprint() { cat "$@" scripts/setup_engine.sh | sha256sum | cut -d ' ' -f 1; }

# True where the environment's stamp says that it was made from these files and still starts.
up_to_date() {
    local folder=$1 want=$2
    [ "$(cat "$folder/rs_segment.stamp" 2>/dev/null)" = "$want" ] &&
        "$folder/bin/python" -c '' 2>/dev/null
}

make_engine() {
    local want
    want=$(fingerprint resources/engine_requirements.txt requirements-dev.txt pyproject.toml)
    if up_to_date .venv "$want"; then return; fi
    local python uv
    python=$(base_python)
    uv=$(find_uv "$python")
    say "making .venv with $("$uv" --version) (the first time downloads some gigabytes)"
    [ -x .venv/bin/python ] || "$uv" venv -q --python "$python" .venv
    "$uv" pip install -q -p .venv/bin/python -r requirements-dev.txt
    "$uv" pip install -q -p .venv/bin/python --no-deps --no-build-isolation -e .
    printf '%s\n' "$want" >.venv/rs_segment.stamp
}

make_qgis_tests() {
    "$qgis_python" -c 'import qgis.core' 2>/dev/null || return 0
    local folder=build/qgis-venv want uv
    want=$(fingerprint requirements-dev.txt)
    if up_to_date "$folder" "$want"; then return; fi
    uv=$(find_uv "$(base_python)")
    say "making $folder"
    rm -rf "$folder"
    "$uv" venv -q --python "$qgis_python" --system-site-packages "$folder"
    grep -E '^pytest(-timeout)?==' requirements-dev.txt | "$uv" pip install -q -p "$folder/bin/python" -r -
    printf '%s\n' "$want" >"$folder/rs_segment.stamp"
}

mkdir -p build
if command -v flock >/dev/null 2>&1; then
    exec 9>build/setup.lock
    flock 9
fi
make_engine
make_qgis_tests
say "ready: .venv/bin/rs-segment, .venv/bin/python -m engine"
