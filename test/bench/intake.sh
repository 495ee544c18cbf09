#!/usr/bin/env bash
# Syslog over one TCP connection: how soon are the lines durable, beside
# rsyslog writing the same lines to a synced file, and how soon stored, parsed
# and matched against the built-in rules? Prints BENCH lines.
# usage: intake.sh [LINES]     needs bin/icewatch (make build), rsyslogd, curl
set -euo pipefail
cd "$(dirname "$0")/../.."
lines="${1:-300000}"
for need in rsyslogd curl; do command -v "$need" >/dev/null || { echo "intake.sh: the peer $need is missing" >&2; exit 1; }; done
[ -x bin/icewatch ] || { echo "intake.sh: bin/icewatch is missing; run make build" >&2; exit 1; }

dir="$(mktemp -d)"
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
now() { date +%s.%N; }
rate() { awk -v n="$lines" -v a="$1" -v b="$2" 'BEGIN { printf "%.0f", n / (b - a) }'; }
port() { # a port nobody listens on
  local p
  while p=$((20000 + RANDOM % 20000)); (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; do :; done
  echo "$p"
}
waitport() { for _ in $(seq 200); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.05; done; echo "nobody listens on $1" >&2; exit 1; }

# Ordinary work of fifty hosts: sign-ins, web access, cron, one guess in a thousand.
awk -v n="$lines" 'BEGIN {
  for (i = 0; i < n; i++) {
    t = sprintf("2026-01-01T%02d:%02d:%02d.%03dZ", i / 36000 % 24, i / 600 % 60, i / 10 % 60, i % 1000)
    h = "web-" i % 50
    if (i % 1000 == 0) printf "<38>1 %s %s sshd %d - - Failed password for root from 198.51.100.%d port %d ssh2\n", t, h, i % 9000, i % 250, 20000 + i % 9000
    else if (i % 4 == 0) printf "<38>1 %s %s sshd %d - - Accepted publickey for ops from 10.1.%d.%d port %d ssh2\n", t, h, i % 9000, i % 200, i % 250, 20000 + i % 9000
    else if (i % 4 == 1) printf "<78>1 %s %s CRON %d - - (root) CMD (run-parts /etc/cron.hourly) n=%d\n", t, h, i % 9000, i
    else printf "<190>1 %s %s nginx - - - 10.2.%d.%d - - [01/Jan/2026:00:00:00 +0000] \"GET /page/%d HTTP/1.1\" 200 %d \"-\" \"Mozilla/5.0\"\n", t, h, i % 200, i % 250, i, i % 9999
  }
}' > "$dir/lines"

rport="$(port)"
cat > "$dir/rsyslog.conf" <<CONF
module(load="imptcp")
input(type="imptcp" port="$rport" ruleset="file")
global(workDirectory="$dir")
ruleset(name="file") { action(type="omfile" file="$dir/out" sync="on" asyncWriting="off" flushOnTXEnd="on") }
CONF
rsyslogd -n -f "$dir/rsyslog.conf" -i "$dir/rsyslog.pid" >/dev/null 2>&1 &
pids+=($!)
waitport "$rport"
a="$(now)"; cat "$dir/lines" > "/dev/tcp/127.0.0.1/$rport"
until [ "$(wc -l 2>/dev/null < "$dir/out")" -ge "$lines" ]; do sleep 0.02; done
peer="$(rate "$a" "$(now)")"
kill "${pids[0]}"

http="$(port)" syslog="$(port)"
bin/icewatch serve --config /dev/null --data "$dir/data" --http "127.0.0.1:$http" --syslog-udp off --syslog-tcp "127.0.0.1:$syslog" >"$dir/log" 2>&1 &
pids+=($!)
metric() { curl -s --unix-socket "$dir/data/run/icewatch.sock" http://icewatch/metrics | awk -v m="$1" '$1 == m { print $2 }'; }
waitport "$syslog"
until [ "$(metric icewatch_engine_up)" = 1 ]; do sleep 0.1; done
sleep 3
rss() { ps -o rss= -p "${pids[1]}" --ppid "${pids[1]}" | awk '{ s += $1 } END { printf "%.0f", s / 1024 }'; }
idle="$(rss)"
a="$(now)"; cat "$dir/lines" > "/dev/tcp/127.0.0.1/$syslog"
until [ "$(metric icewatch_bus_records_total)" -ge "$lines" ]; do sleep 0.02; done
durable="$(rate "$a" "$(now)")"
until [ "$(metric icewatch_engine_events_total)" -ge "$lines" ]; do sleep 0.05; done
stored="$(rate "$a" "$(now)")"
busy="$(rss)"

echo "peer: $(rsyslogd -v | head -n 1 | tr -s ' ' | cut -d' ' -f1-2), imptcp to omfile, sync=on; $lines lines, one connection, $(nproc) cores"
echo "BENCH intake.syslog_durable $durable events/s"
echo "BENCH intake.rsyslog_synced $peer events/s"
echo "BENCH intake.ratio $(awk -v a="$durable" -v b="$peer" 'BEGIN { printf "%.2f", a / b }') ratio"
echo "BENCH e2e.stored $stored events/s"
echo "BENCH memory.idle $idle MB"
echo "BENCH memory.busy $busy MB"
