#!/usr/bin/env bash
# The service keeps to its description, for requests that are made from it:
# tests/openapi/run.sh PATH-OF-MINUTELOG [ARGUMENTS OF schemathesis run]
set -euo pipefail
minutelog=$(realpath "$1")
shift
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")

readonly SCHEMATHESIS_VERSION=4.32.5
readonly TOOLS=$here/../../target/schemathesis
if ! "$TOOLS/bin/schemathesis" --version 2>/dev/null | grep -qF "$SCHEMATHESIS_VERSION"; then
  python3 -m venv "$TOOLS"
  "$TOOLS/bin/pip" install --quiet "schemathesis==$SCHEMATHESIS_VERSION"
fi

place=$(mktemp -d)
ingest=
finish() {
  [ -z "$ingest" ] || { kill "$ingest" && wait "$ingest" || true; }
  rm -rf "$place"
}
trap finish EXIT

read -r listen ops flusher < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*("127.0.0.1:%d" % it.getsockname()[1] for it in sockets))')
cat >"$place/minutelog.toml" <<TOML
data_dir = "$place/data"
ingest = { listen = "$listen", ops_listen = "$ops", auth = "none" }
flusher.ops_listen = "$flusher"
TOML
"$minutelog" ingest --config "$place/minutelog.toml" 2>"$place/log" &
ingest=$!
for _ in $(seq 600); do
  if python3 -c "import urllib.request as it; it.urlopen('http://$ops/readyz')" 2>/dev/null; then break; fi
  kill -0 "$ingest" 2>/dev/null || { cat "$place/log"; exit 1; }
  sleep 0.1
done

# What is configured here is what no description can say: see the comments there.
export SCHEMATHESIS_HOOKS=hooks
export PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
# It keeps notes where it is run.
cd "$place"
"$TOOLS/bin/schemathesis" --config-file "$here/schemathesis.toml" run "http://$listen/openapi.json" --checks all "$@"
