#!/usr/bin/env bash
# W5, as the kernel sees it: once an fdatasync has failed, ingest acknowledges nothing more. The
# request that waited for it gets 503, and the process exits with 74.
#
# usage: tests/stop_after_failed_sync.sh [minutelog binary]
# Needs curl, and strace, which lets the fourth fdatasync and all later ones fail with EIO.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
binary=${1:-$root/target/debug/minutelog}
good=3

fail() {
  echo "stop_after_failed_sync: $*" >&2
  exit 1
}

for tool in strace curl; do
  command -v "$tool" >/dev/null || fail "$tool is not installed: install it, this can't be shown without"
done
[ -x "$binary" ] || fail "$binary is not there: run \`cargo build\` first"

dir=$(mktemp -d)
tracer=
clean_up() {
  # Without its tracer the traced process goes on: it ends first.
  if [ -n "$tracer" ]; then pkill -KILL -P "$tracer" || true; fi
  rm -rf "$dir"
}
trap clean_up EXIT

port=$((20000 + RANDOM % 10000))
cat >"$dir/minutelog.toml" <<TOML
data_dir = "$dir/data"
[log]
interval = "15m"
[ingest]
listen = "127.0.0.1:$port"
ops_listen = "127.0.0.1:$((port + 1))"
auth = "none"
TOML

strace -f -o "$dir/trace" -e trace=fdatasync -e "inject=fdatasync:error=EIO:when=$((good + 1))+" \
  "$binary" ingest --config "$dir/minutelog.toml" 2>"$dir/log" &
tracer=$!
curl -s -o /dev/null --retry 100 --retry-connrefused --retry-delay 1 --max-time 100 \
  "http://127.0.0.1:$((port + 1))/healthz" || fail "ingest did not come up: $(cat "$dir/log")"

# send N: the status of the answer to one event; 000 where there is none.
send() {
  curl -s -o /dev/null -w '%{http_code}' --max-time 30 -H 'Content-Type: application/json' \
    -d "{\"bucket\":\"my-bucket\",\"prefix\":\"p\",\"payload\":$1}" \
    "http://127.0.0.1:$port/v1/send/s3" || true
}

for number in $(seq "$good"); do
  status=$(send "$number")
  [ "$status" = 200 ] || fail "event $number got $status, though its sync worked: $(cat "$dir/log")"
done
status=$(send 4)
[ "$status" = 503 ] || fail "the event whose sync failed got $status"
for number in 5 6 7; do
  status=$(send "$number")
  case $status in
    503 | 000) ;;
    *) fail "event $number got $status after a failed sync" ;;
  esac
done
code=0
wait "$tracer" || code=$?
tracer=
[ "$code" -eq 74 ] || fail "ingest exited with $code, not 74: $(cat "$dir/log")"
[ "$(grep -c INJECTED "$dir/trace")" -ge 1 ] || fail "no fdatasync was made to fail"

# What was acknowledged before is there.
minute=$("$binary" admin log --json --config "$dir/minutelog.toml" |
  sed -n 's/.*"minute": *"\([^"]*\)".*/\1/p' | head -n 1)
"$binary" admin show "$minute" --config "$dir/minutelog.toml" >"$dir/shown"
for number in $(seq "$good"); do
  grep -qx "$number" "$dir/shown" || fail "event $number was acknowledged and is not in the log"
done
echo "ok: $good acknowledged, 503 from the failed sync on, exit 74"
