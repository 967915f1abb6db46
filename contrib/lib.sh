# Shared by the scripts of this folder: says what it does, installs packages that are missing, builds a preset.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\033[1m' plain=$'\033[0m'; else bold= plain=; fi
step() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "needs root for: $*   (run as root, or install sudo)"; fi
}

# packages LIST...: installs those of contrib/packages/LIST that are not there; touches no network when all are.
packages() {
  local list missing=() name
  for list in "$@"; do
    while read -r name; do
      [ -n "$name" ] || continue
      [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done <"$top/contrib/packages/$list"
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  step "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  as_root apt-get update -q >/dev/null || die "apt-get update failed; is the network there?"
  # Mail and name servers among them are for tests, which start their own: Debian would start them at once.
  local policy=/usr/sbin/policy-rc.d ours= failed=
  [ -e "$policy" ] || { ours=1; printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy"; }
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/tmp/postern-apt.$$ 2>&1 || failed=1
  [ -z "$ours" ] || as_root rm -f "$policy"
  [ -z "$failed" ] || { tail -n 20 /tmp/postern-apt.$$ >&2; rm -f /tmp/postern-apt.$$; die "apt-get could not install them"; }
  rm -f /tmp/postern-apt.$$
}

# The cache of compiled files serves every checkout on the machine.
export CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  step "Building ($preset)"
  (cd "$top" && cmake --preset "$preset" >"/tmp/postern-cmake.$$" 2>&1) || { cat "/tmp/postern-cmake.$$" >&2; rm -f "/tmp/postern-cmake.$$"; die "cmake failed"; }
  rm -f "/tmp/postern-cmake.$$"
  if [ -t 1 ]; then ninja -C "$top/build/$preset" "$@"
  else NINJA_STATUS='[%f/%t] ' ninja -C "$top/build/$preset" --quiet "$@"; fi || die "the build failed"
}
