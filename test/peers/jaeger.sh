#!/usr/bin/env bash
# Builds the Jaeger that the suite's query API is held against, all parts in one
# program with its storage in memory, from the module pinned in
# test/peers/jaeger, and prints the program. It is built once; that takes
# minutes.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)/jaeger"
version="$(sed -n 's#^\s*github.com/jaegertracing/jaeger \(v[0-9.]*\).*#\1#p' "$here/go.mod")"
home="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch/jaeger-$version"
if [ ! -x "$home/all-in-one" ]; then
  mkdir -p "$home"
  echo "==> building Jaeger $version: some minutes" >&2
  (cd "$here" && GOFLAGS= CGO_ENABLED=0 go build -trimpath -o "$home/all-in-one.new" github.com/jaegertracing/jaeger/cmd/all-in-one)
  mv "$home/all-in-one.new" "$home/all-in-one"
fi
echo "$home/all-in-one"
