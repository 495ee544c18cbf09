#!/usr/bin/env bash
# Builds the VictoriaLogs and VictoriaMetrics servers that the lake's remote
# drivers are tested against, from the release whose library the suite links,
# into a folder of its own and prints that folder. They are built once.
set -euo pipefail
cd "$(dirname "$0")/victoria"
export GOWORK=off CGO_ENABLED=0
module=github.com/VictoriaMetrics/VictoriaMetrics
version="$(go list -m -f '{{.Version}}' "$module")"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch"
home="$cache/victoria-$version"
if [ ! -x "$home/victoria-logs" ] || [ ! -x "$home/victoria-metrics" ]; then
  mkdir -p "$cache"
  work="$(mktemp -d "$cache/build-XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  go build -trimpath -o "$work/" "$module/app/victoria-logs" "$module/app/victoria-metrics" >&2
  rm -rf "$home"
  mv "$work" "$home"
fi
echo "$home"
