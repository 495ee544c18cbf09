#!/usr/bin/env bash
# Builds the vmalert whose alerts the suite is tested to take, from the release
# that the module of VictoriaMetrics' servers names, into a folder of its own and
# prints its path. It is built once.
set -euo pipefail
cd "$(dirname "$0")/victoria"
export GOWORK=off CGO_ENABLED=0
module=github.com/VictoriaMetrics/VictoriaMetrics
program="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch/vmalert-$(go list -m -f '{{.Version}}' "$module")"
if [ ! -x "$program" ]; then
  mkdir -p "$(dirname "$program")"
  go build -trimpath -o "$program" "$module/app/vmalert" >&2
fi
echo "$program"
