#!/usr/bin/env bash
# Make build/peers: an environment of its own with the programs that `make bench-peers` compares
# with. They are solved together; where that fails, one by one, and what does not install is named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=build/peers
list=benchmarks/peers/requirements.txt
say() { printf 'setup_peers: %s\n' "$*" >&2; }

uv=$(command -v uv || echo build/uv/bin/uv)
"$uv" --version >/dev/null || { say "uv is missing: run make setup first"; exit 1; }
want=$(sha256sum <"$list")
[ "$(cat "$folder/rs_segment.stamp" 2>/dev/null)" = "$want" ] && exit 0
[ -x "$folder/bin/python" ] || "$uv" venv -q --python 3.11 "$folder"
if ! "$uv" pip install -q --python "$folder/bin/python" -r "$list"; then
    grep -v '^#' "$list" | while read -r package; do
        "$uv" pip install -q --python "$folder/bin/python" "$package" ||
            say "$package does not install here; it is left out"
    done
fi
printf '%s\n' "$want" >"$folder/rs_segment.stamp"
