#!/usr/bin/env bash
# Builds the OPA of the version that the suite links, as a program, and prints
# it. It is built once; that takes minutes.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
version="$(sed -n 's#^\s*github.com/open-policy-agent/opa \(v[0-9.]*\).*#\1#p' "$root/go.mod")"
home="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch/opa-$version"
if [ ! -x "$home/opa" ]; then
  mkdir -p "$home"
  echo "==> building OPA $version: some minutes" >&2
  GOFLAGS= CGO_ENABLED=0 GOBIN="$home" go install -trimpath "github.com/open-policy-agent/opa@$version"
fi
echo "$home/opa"
