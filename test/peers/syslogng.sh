#!/usr/bin/env bash
# Unpacks Debian's syslog-ng into a folder of its own and prints that folder:
# installed, it would drive out rsyslog, since both are the system's log daemon.
# The libraries that it needs are unpacked beside it where they are absent.
set -euo pipefail
home="${XDG_CACHE_HOME:-$HOME/.cache}/icewatch/syslog-ng"
if [ ! -x "$home/usr/sbin/syslog-ng" ]; then
  rm -rf "$home.new"
  mkdir -p "$home.new/packages"
  (
    cd "$home.new/packages"
    packages=(syslog-ng-core)
    for p in $(apt-cache depends --important syslog-ng-core | sed -n 's/^ *Depends: *\([a-z0-9.+-]*\)$/\1/p'); do
      case "$p" in libc6 | sysvinit-utils | lsb-base) continue ;; esac
      dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -q '^installed' || packages+=("$p")
    done
    apt-get download -qq "${packages[@]}" >&2
    for deb in *.deb; do dpkg -x "$deb" ..; done
  )
  rm -rf "$home.new/packages" "$home"
  mv "$home.new" "$home"
fi
echo "$home"
