#!/usr/bin/env bash
# Fetches the Apache Kafka that the forwarding of audit records is tested
# against, by Maven, into a folder of its own and prints that folder. It is
# fetched once.
set -euo pipefail
version=3.9.1
cache="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch"
home="$cache/kafka-$version"
if [ ! -d "$home" ]; then
  mkdir -p "$cache"
  work="$(mktemp -d "$cache/fetch-XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>icewatch.test</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency></dependencies>
</project>
POM
  (cd "$work" && mvn -q -B dependency:copy-dependencies -DoutputDirectory="$work/libs" >&2)
  mv "$work/libs" "$home"
fi
echo "$home"
