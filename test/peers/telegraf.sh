#!/usr/bin/env bash
# Builds telegraf's own program, of the version whose inputs the agent links, with
# the inputs that the agent links, and prints its path. It is built once for a list
# of inputs.
set -euo pipefail
cd "$(dirname "$0")/../.."
export GOWORK=off CGO_ENABLED=0
version="$(go list -m -f '{{.Version}}' github.com/influxdata/telegraf)"
tags="custom,outputs.discard,$(sed -n 's|.*telegraf/plugins/inputs/\([a-z0-9_]*\)"|inputs.\1|p' collectors/agent/plugins/plugins.go | paste -sd,),parsers.json_v2"
home="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch/telegraf-$version-$(sha256sum <<<"$tags" | cut -c1-12)"
if [ ! -x "$home/telegraf" ]; then
  mkdir -p "$home"
  GOBIN="$home" go install -trimpath -ldflags '-s -w' \
    -tags "$tags" \
    "github.com/influxdata/telegraf/cmd/telegraf@$version" >&2
fi
echo "$home/telegraf"
