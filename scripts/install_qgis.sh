#!/usr/bin/env bash
# Install what the plugin's demo and tests need from the system: QGIS with its Python, a virtual
# screen, a font and Python's venv module. Does nothing where they are there already.
#
# Debian 12: QGIS 3.40 LTR from the backports suite of the mirror that the machine already uses.
# Other Debian and Ubuntu releases: the release's own qgis package.
set -euo pipefail

minimum=3.22
apt_folder=/etc/apt
codename=""
as_root=()

say() { printf 'install_qgis: %s\n' "$*" >&2; }

fail() {
    say "$1"
    say "hint: $2"
    exit 1
}

qgis_version() {
    command -v qgis_process >/dev/null 2>&1 || return 1
    local printed # by qgis_process; that of QGIS 3.22 does not know --version
    printed=$(QT_QPA_PLATFORM=offscreen qgis_process --version 2>/dev/null |
        sed -n 's/^QGIS \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    [ -n "$printed" ] || printed=$(/usr/bin/python3 -W ignore -c \
        'from qgis.core import Qgis; print(".".join(Qgis.QGIS_VERSION.split(".")[:2]))' 2>/dev/null)
    printf '%s\n' "$printed"
}

new_enough() { [ "$(printf '%s\n%s\n' "$minimum" "$1" | sort -V | head -n 1)" = "$minimum" ]; }

missing_packages() {
    local version
    version=$(qgis_version || true)
    if [ -z "$version" ] || ! new_enough "$version"; then
        echo qgis qgis-providers python3-qgis
    elif ! /usr/bin/python3 -c 'import qgis.core' 2>/dev/null; then
        echo python3-qgis
    fi
    command -v xvfb-run >/dev/null 2>&1 || echo xvfb
    command -v xauth >/dev/null 2>&1 || echo xauth
    command -v fc-list >/dev/null 2>&1 && [ -n "$(fc-list 2>/dev/null | head -n 1)" ] ||
        echo fontconfig fonts-dejavu-core
    /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

become_root() {
    [ "$(id -u)" -eq 0 ] && return
    command -v sudo >/dev/null 2>&1 ||
        fail "not root, and there is no sudo; missing: $*" \
            "as root, run: apt-get install --no-install-recommends $* (QGIS $minimum or newer)"
    as_root=(sudo)
}

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"; }

# Print the apt source of this release with the suite replaced by its backports; fields such as
# Signed-By stay as they are. Deb822 files first, then one-line files.
backports_source() {
    local files=()
    shopt -s nullglob
    files=("$apt_folder"/sources.list.d/*.sources)
    if [ ${#files[@]} -gt 0 ]; then
        awk -v suite="$codename" '
            BEGIN { RS = ""; FS = "\n" }
            !done && !/(^|\n)Enabled: *no/ && $0 ~ "(^|\n)Suites:[^\n]*[ \t]" suite "([ \t\n]|$)" {
                for (i = 1; i <= NF; i++) {
                    if ($i ~ /^#/) continue
                    if ($i ~ /^Types:/) print "Types: deb"
                    else if ($i ~ /^Suites:/) print "Suites: " suite "-backports"
                    else if ($i ~ /^Components:/) print "Components: main"
                    else print $i
                }
                done = 1
            }' <(for file in "${files[@]}"; do cat "$file"; echo; done)
    fi
}

backports_line() {
    local files=()
    shopt -s nullglob
    files=("$apt_folder"/sources.list "$apt_folder"/sources.list.d/*.list)
    { cat "${files[@]}" 2>/dev/null || true; } |
        sed -nE "s#^deb[[:space:]]+((\[[^]]*\][[:space:]]+)?[^[:space:]]+)[[:space:]]+$codename[[:space:]].*#deb \1 $codename-backports main#p" |
        head -n 1
}

add_backports() {
    apt-cache policy | grep "n=$codename-backports" >/dev/null && return
    local source line folder=$apt_folder/sources.list.d
    source=$(backports_source)
    if [ -n "$source" ]; then
        printf '%s\n' "$source" | "${as_root[@]}" tee "$folder/rs-segment-backports.sources" >/dev/null
        return
    fi
    line=$(backports_line)
    [ -n "$line" ] || fail "no apt source of $codename was found" \
        "add the suite $codename-backports to your apt sources, then run this again"
    printf '%s\n' "$line" | "${as_root[@]}" tee "$folder/rs-segment-backports.list" >/dev/null
}

install_packages() {
    local qgis=() other=() name
    for name in "$@"; do
        case "$name" in *qgis*) qgis+=("$name") ;; *) other+=("$name") ;; esac
    done
    apt update
    if [ ${#qgis[@]} -gt 0 ]; then
        if [ "$codename" = bookworm ]; then
            add_backports
            apt update
            apt install --no-install-recommends -t bookworm-backports "${qgis[@]}"
        else
            apt install --no-install-recommends "${qgis[@]}"
        fi
    fi
    [ ${#other[@]} -eq 0 ] || apt install --no-install-recommends "${other[@]}"
}

main() {
    local names version
    read -r -a names <<<"$(missing_packages | tr '\n' ' ')"
    if [ ${#names[@]} -gt 0 ]; then
        command -v apt-get >/dev/null 2>&1 || fail "this system has no apt-get; missing: ${names[*]}" \
            "install QGIS $minimum or newer, its Python bindings, xvfb and xauth with your package manager"
        codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
        become_root "${names[@]}"
        say "installing: ${names[*]}"
        install_packages "${names[@]}"
    fi
    version=$(qgis_version || true)
    { [ -n "$version" ] && new_enough "$version"; } ||
        fail "QGIS is ${version:-missing}, RS Segment needs $minimum or newer" "install a newer QGIS"
    say "QGIS $version is there"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then main; fi
