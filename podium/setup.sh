#!/bin/bash
# Makes podium/.venv from nothing: Debian's python3-venv where it is missing, uv at the locked version, then everything in uv.lock.
set -euo pipefail
cd "$(dirname "$0")"
python=${PODIUM_PYTHON:-/usr/bin/python3.11}
[ -x "$python" ] || python=$(command -v python3.11) || { echo "setup: Python 3.11 is needed (Debian: apt-get install python3)" >&2; exit 2; }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "setup: installing python3-venv"
  root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update
  root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends python3.11-venv >/dev/null
fi

uv=$(awk '/^name = "uv"$/ {getline; gsub(/[^0-9.]/, ""); print; exit}' uv.lock)
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$uv" ]; then
  "$python" -m venv --clear .venv
  .venv/bin/pip install --quiet --disable-pip-version-check "uv==$uv"
fi
.venv/bin/uv sync --quiet --frozen --all-extras --all-groups --python .venv/bin/python
