"""A site to send to: `minutelog dev`, what its S3 server holds, and services beside it."""

import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

PATIENCE_SECONDS = 120


def until(what, ask):
    """What `ask` gives once it is not None."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = ask()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise SystemExit(f"not after {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.1)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(command, **more):
    """A process, stopped in an orderly way at the end."""
    process = subprocess.Popen(command, **more)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextlib.contextmanager
def dev(minutelog):
    """`minutelog dev` with minutes of a second: the place that it works in, and its addresses."""
    with tempfile.TemporaryDirectory() as place:
        command = [minutelog, "dev", "--json", "--interval", "1s", "--data-dir", f"{place}/dev"]
        with running(command, stdout=subprocess.PIPE, text=True) as process:
            told = ""
            for line in process.stdout:
                told += line
                if line == "}\n":
                    break
            yield Path(place), json.loads(told)


def keys_of(pid):
    """The keys for S3 that `dev` has given to its flusher."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    named = dict(variable.split("=", 1) for variable in environment if "=" in variable)
    return {name: named[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


@contextlib.contextmanager
def services(minutelog, place, addresses, more):
    """Ingest and flusher of their own, with `more` as the end of their configuration, on the S3 server
    of `dev`: their configuration's file, ingest's address, and its log."""
    place.mkdir()
    listen, ops, flusher_ops = (f"127.0.0.1:{free_port()}" for _ in range(3))
    config = place / "minutelog.toml"
    config.write_text(
        f'data_dir = "{place}/data"\n'
        f'[log]\ninterval = "1s"\n'
        f'[ingest]\nlisten = "{listen}"\nops_listen = "{ops}"\n'
        f'[flusher]\nops_listen = "{flusher_ops}"\n'
        f'[s3]\nregion = "us-east-1"\nendpoint = "{addresses["s3"]}"\npath_style = true\n{more}'
    )
    log = place / "ingest.log"
    keys = keys_of(addresses["flusher_pid"])
    with (
        log.open("w") as log_file,
        running(
            [minutelog, "ingest", "--config", config, "--log-level", "debug"], stderr=log_file
        ),
        running([minutelog, "flusher", "--config", config, "--log-level", "warn"], env=os.environ | keys),
    ):
        for address in (ops, flusher_ops):
            until(f"{address} is ready", lambda address=address: ready(address))
        yield config, f"http://{listen}", log


def ready(address):
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
            return answer.status
    except OSError:
        return None


def delivered(s3, prefix, expected):
    """Waits until the lines under a prefix are the expected bytes, object after object."""

    def look():
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="my-bucket", Prefix=prefix)
        keys = sorted(it["Key"] for page in pages for it in page.get("Contents", []))
        objects = [s3.get_object(Bucket="my-bucket", Key=key)["Body"].read() for key in keys]
        found = b"".join(gzip.decompress(it) for it in objects)
        assert expected.startswith(found), f"{prefix}: {found[:300]!r} is not {expected[:300]!r}"
        return found if len(found) == len(expected) else None

    until(f"{len(expected)} bytes under {prefix}", look)
