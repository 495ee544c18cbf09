#!/usr/bin/env bash
# Fetches the Keycloak that the sign-in tests run against, by Maven, into a
# folder of its own and prints that folder. It is fetched once.
set -euo pipefail
version=26.5.6
cache="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch"
home="$cache/keycloak-$version"
if [ ! -x "$home/bin/kc.sh" ]; then
  mkdir -p "$cache"
  work="$(mktemp -d "$cache/fetch-XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  mvn -q -B dependency:copy -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory="$work" >&2
  unzip -q -d "$work" "$work/keycloak-quarkus-dist-$version.zip"
  chmod +x "$work/keycloak-$version/bin/"*.sh
  rm -rf "$home"
  mv "$work/keycloak-$version" "$home"
fi
echo "$home"
