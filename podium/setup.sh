#!/bin/bash
# Makes podium/.venv: Debian's python3-venv where it is missing, uv as locked (version and hash), then everything in uv.lock.
# Run again it does what is new, mostly nothing. After an interruption it begins anew. Of two at once the second waits.
set -euo pipefail
cd "$(dirname "$0")"
here=$(pwd -P)

fail() { echo "setup: $*" >&2; exit 2; }

whole() { # finished, in this place (its scripts name it), by an interpreter that is still there
  [ "$(cat .venv/.ready 2>/dev/null)" = "$here" ] && .venv/bin/python -c '' 2>/dev/null
}

current() { # whole, and no older than what it is made from
  whole && ! [ uv.lock -nt .venv/.ready ] && ! [ pyproject.toml -nt .venv/.ready ] && ! [ setup.sh -nt .venv/.ready ]
}

install_venv_module() {
  [ -x /usr/bin/apt-get ] || fail "the venv module of $python is missing; install it"
  root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "python3.11-venv is missing and installing it needs root or sudo"
    root=(sudo)
  fi
  echo "setup: installing python3.11-venv"
  apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update || echo "setup: the package lists could not be fetched; going on with those there are" >&2
  "${apt[@]}" install -y --no-install-recommends python3.11-venv >/dev/null
}

install_uv() {
  locked=$(awk -v RS= '/\nname = "uv"\n/' uv.lock)
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' <<<"$locked")
  [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$version" ] || return 0
  hashes=$(grep -o 'sha256:[0-9a-f]\{64\}' <<<"$locked" | sed 's/^/--hash=/' | tr '\n' ' ')
  .venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r <(echo "uv==$version $hashes")
}

current && exit 0
exec 9<setup.sh
flock 9
current && exit 0 # the one before has done it

python=${PODIUM_PYTHON:-/usr/bin/python3.11}
[ -x "$python" ] || python=$(command -v python3.11) || fail "Python 3.11 is needed (Debian: apt-get install python3)"
"$python" -c 'import ensurepip, venv' 2>/dev/null || install_venv_module

whole || "$python" -m venv --clear .venv
rm -f .venv/.ready
echo "$here" >.venv/.begun
echo "setup: installing into podium/.venv"
install_uv
env -u VIRTUAL_ENV UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never \
  .venv/bin/uv sync --quiet --frozen --all-extras --all-groups --python .venv/bin/python
mv .venv/.begun .venv/.ready
