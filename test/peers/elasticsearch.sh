#!/usr/bin/env bash
# Assembles the Elasticsearch that the API and the forwarding are tested against
# from the jars that Elastic publishes, by Maven, in a folder of its own and
# prints that folder. It is done once. The published jars are the server, its
# libraries and the HTTP module; data streams, ILM and painless are not among
# them.
set -euo pipefail
version=8.15.3
here="$(cd "$(dirname "$0")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch"
home="$cache/elasticsearch-$version"
if [ ! -d "$home" ]; then
  mkdir -p "$cache"
  work="$(mktemp -d "$cache/fetch-XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>icewatch.test</groupId><artifactId>elasticsearch</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.elasticsearch</groupId><artifactId>elasticsearch</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.elasticsearch.plugin</groupId><artifactId>transport-netty4</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
POM
  (cd "$work" && mvn -q -B dependency:copy-dependencies -DoutputDirectory="$work/home/lib" >&2)
  module="$work/home/modules/transport-netty4"
  mkdir -p "$module" "$work/home/plugins" "$work/home/config"
  mv "$work/home/lib/"netty-*.jar "$work/home/lib/"transport-netty4-*.jar "$module/"
  cat >"$module/plugin-descriptor.properties" <<PLUGIN
name=transport-netty4
description=HTTP
version=$version
elasticsearch.version=$version
java.version=17
classname=org.elasticsearch.transport.netty4.Netty4Plugin
PLUGIN
  javac -p "$work/home/lib" --add-modules ALL-MODULE-PATH -d "$work/home/classes" "$here/elasticsearch/Peer.java" >&2
  rm -rf "$home"
  mv "$work/home" "$home"
fi
echo "$home"
