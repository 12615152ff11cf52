#!/usr/bin/env bash
# G1, as the kernel sees it: for each request that ingest answers with 200, an fdatasync of the
# database ended after the request was read and before the first byte of the answer was written.
#
# usage: tests/ack_after_fdatasync.sh [minutelog binary]
# Needs strace, which must be allowed to trace; where it is not there the script fails.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
binary=${1:-$root/target/debug/minutelog}
requests=20

fail() {
  echo "ack_after_fdatasync: $*" >&2
  exit 1
}

command -v strace >/dev/null || fail "strace is not installed: install it, this can't be shown without"
[ -x "$binary" ] || fail "$binary is not there: run \`cargo build\` first"

dir=$(mktemp -d)
tracer=
clean_up() {
  if [ -n "$tracer" ]; then
    # The traced process is the tracer's child; strace itself ends when it does.
    pkill -KILL -P "$tracer" || true
    wait "$tracer" || true
  fi 2>/dev/null
  rm -rf "$dir"
}
trap clean_up EXIT

# A minute that does not end meanwhile: the fdatasync of its closing is not the one in question.
cat >"$dir/minutelog.toml" <<TOML
data_dir = "$dir/data"
[log]
interval = "15m"
[ingest]
auth = "none"
TOML

# Starts ingest under strace on two ports, and waits until it answers.
start() {
  local port=$1 calls=fdatasync,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg
  MINUTELOG__INGEST__LISTEN=127.0.0.1:$port MINUTELOG__INGEST__OPS_LISTEN=127.0.0.1:$((port + 1)) \
    strace -f -y -s 64 -e trace=$calls -e signal=none -o "$dir/trace" \
    "$binary" ingest --config "$dir/minutelog.toml" 2>"$dir/log" &
  tracer=$!
  for _ in $(seq 600); do
    kill -0 "$tracer" 2>/dev/null || { wait "$tracer" || true; tracer=; return 1; }
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return 0
    sleep 0.1
  done
  fail "ingest did not come up: $(cat "$dir/log")"
}

port=
for _ in 1 2 3 4 5; do
  port=$((20000 + RANDOM % 10000))
  start "$port" && break
  grep -q "cannot listen\|in use" "$dir/log" || fail "ingest ended: $(cat "$dir/log")"
  port=
done
[ -n "$port" ] || fail "no free port in five tries"

# One request after the other, each on a connection of its own.
body='{"bucket":"my-bucket","prefix":"p","payload":"the event"}'
for _ in $(seq "$requests"); do
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  printf 'POST /v1/send/s3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
    "${#body}" "$body" >&3
  answer=$(cat <&3)
  exec 3<&-
  case $answer in
    "HTTP/1.1 200 "*) ;;
    *) fail "no 200: $answer" ;;
  esac
done

# The traced process is told to stop; strace follows it.
pkill -TERM -P "$tracer"
wait "$tracer" || fail "ingest did not stop in good order: $(cat "$dir/log")"
tracer=

# Lines stand in the order in which strace saw the calls begin and end. A call that others come
# between has two lines: `PID call(ARGUMENTS <unfinished ...>` and `PID <... call resumed>…) = N`.
awk -v requests="$requests" '
  # An fdatasync of a database of the log: <data>/open/<minute>.<run>/db
  / fdatasync\([0-9]+<[^>]*\/open\/[^>]*\/db>/ {
    if (/<unfinished/) { syncing[$1] = 1 } else if (/\) += 0$/) { synced = 1 }
  }
  /<\.\.\. fdatasync resumed>/ {
    if (syncing[$1] && /\) += 0$/) { synced = 1 }
    delete syncing[$1]
  }
  # The request is read: what was synced before it does not count.
  /"POST \/v1\/send\/s3 / { synced = 0; delete syncing; read += 1 }
  # The beginning of the answer.
  / (write|writev|sendto|sendmsg)\(/ && /"HTTP\/1\.1 200 / {
    answered += 1
    if (!synced) { print "line " NR ": an answer before its fdatasync: " $0; bad += 1 }
    synced = 0
  }
  END {
    if (read != requests) { print "saw " read + 0 " requests of " requests; bad += 1 }
    if (answered != requests) { print "saw " answered + 0 " answers of " requests; bad += 1 }
    if (!bad) { print "ack_after_fdatasync: " answered " of " requests " answers came after their fdatasync" }
    exit bad != 0
  }
' "$dir/trace" || fail "G1 does not hold, or the trace can't be read: see above"
