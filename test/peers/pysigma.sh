#!/usr/bin/env bash
# Installs pySigma and its SQLite backend, of the versions pinned in
# test/peers/pysigma/requirements.txt, into an environment of their own and
# prints the path of its Python. They are installed once.
set -euo pipefail
wanted="$(cd "$(dirname "$0")" && pwd)/pysigma/requirements.txt"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch"
home="$cache/pysigma-$(sha256sum "$wanted" | cut -c1-12)"
if [ ! -e "$home/installed" ]; then
  mkdir -p "$cache"
  rm -rf "$home"
  python3 -m venv "$home" >&2
  "$home/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" >&2
  touch "$home/installed"
fi
echo "$home/bin/python"
