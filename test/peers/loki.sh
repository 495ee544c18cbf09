#!/usr/bin/env bash
# Builds the Grafana Loki and logcli that the lake is measured and tested
# against, from the modules pinned in test/peers/loki, into a folder of its own
# and prints that folder. They are built once; the first time takes minutes.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)/loki"
version="$(sed -n 's#^require github.com/grafana/loki/v3 \(v[0-9.]*\).*#\1#p' "$here/go.mod")"
home="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch/loki-$version"
for program in loki logcli; do
  if [ ! -x "$home/$program" ]; then
    mkdir -p "$home"
    echo "==> building $program $version: some minutes" >&2
    (cd "$here" && GOFLAGS= CGO_ENABLED=0 go build -trimpath -ldflags "-X github.com/grafana/loki/v3/pkg/util/build.Version=$version" -o "$home/$program.new" "github.com/grafana/loki/v3/cmd/$program")
    mv "$home/$program.new" "$home/$program"
  fi
done
echo "$home"
