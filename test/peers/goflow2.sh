#!/usr/bin/env bash
# Builds the goflow2 that the decoding of flows is measured beside, from the
# module pinned in test/peers/goflow2, and prints the program. It is built once.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)/goflow2"
version="$(sed -n 's#^\s*github.com/netsampler/goflow2/v2 \(v[0-9.]*\).*#\1#p' "$here/go.mod")"
home="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch/goflow2-$version"
if [ ! -x "$home/goflow2" ]; then
  mkdir -p "$home"
  echo "==> building goflow2 $version" >&2
  (cd "$here" && GOFLAGS= CGO_ENABLED=0 go build -trimpath -o "$home/goflow2.new" github.com/netsampler/goflow2/v2/cmd/goflow2)
  mv "$home/goflow2.new" "$home/goflow2"
fi
echo "$home/goflow2"
