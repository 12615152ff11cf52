"""Runs the snippets of docs/sources.md and docs/readers.md as they are written, in their order.

A block of `sh`, `js` or `python` is run in one directory; a block with a file's name behind its language is
written there. Comments before a block say more: `arrives: PREFIX LINES` waits until so many lines of the
prefix are in S3, and `not run: WHY` leaves it out. A block of `text` is what the one before it prints.
"""

import contextlib
import gzip
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import boto3
from botocore import UNSIGNED
from botocore.client import Config

from local_site import dev, until

DOCUMENTS = ["docs/sources.md", "docs/readers.md"]
BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>\w*) ?(?P<file>\S*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
RUN = {"sh": ["bash", "-euo", "pipefail"], "js": ["node"], "python": ["python"]}
SUFFIX = {"sh": "sh", "js": "mjs", "python": "py"}


def lines(s3, prefix):
    """How many lines are in the objects under a prefix."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="my-bucket", Prefix=prefix)
    keys = [it["Key"] for page in pages for it in page.get("Contents", [])]
    objects = [s3.get_object(Bucket="my-bucket", Key=key)["Body"].read() for key in keys]
    return sum(gzip.decompress(it).count(b"\n") for it in objects)


def arrived(s3, prefix, count):
    found = until(f"{count} lines under {prefix}", lambda: (
        found if (found := lines(s3, prefix)) >= count else None))
    assert found == count, f"{found} lines under {prefix}, not {count}"


def run(block, text, place):
    """Runs a block; what it prints."""
    language = block["language"]
    file = place / f"snippet.{SUFFIX[language]}"
    file.write_text(text)
    done = subprocess.run(
        [*RUN[language], file], cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"exit code {done.returncode}\n{text}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def document(name, place, addresses, s3):
    count, printed = 0, None
    for block in BLOCK.finditer(Path(name).read_text()):
        note, language, text = block["note"] or "", block["language"], block["text"]
        if note.startswith("not run: "):
            print(f"NOT RUN: a block of {language} {block['file']}: {note}")
            if language == "toml":
                tomllib.loads(text)
            continue
        # `dev` takes other ports where its own are in use.
        text = text.replace("http://127.0.0.1:9600", addresses["ingest"])
        text = text.replace("http://127.0.0.1:9000", addresses["s3"])
        if language == "text":
            assert printed == text, f"{name}: it printed\n{printed}and not\n{text}"
            printed = None
        elif block["file"]:
            (place / block["file"]).write_text(text)
        elif language in RUN:
            printed = run(block, text, place)
            count += 1
        else:
            raise SystemExit(f"{name}: what is to be done with a block of {language!r}?")
        if match := re.fullmatch(r"arrives: (\S+) (\d+)", note):
            arrived(s3, match[1], int(match[2]))
    assert count > 0, f"{name} has no snippet that was run: mend this script"
    print(f"{name}: {count} snippets do what they say")


def main(minutelog):
    with dev(minutelog) as (place, addresses):
        anybody = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
        s3 = boto3.client(
            "s3", endpoint_url=addresses["s3"], region_name="us-east-1", config=anybody)
        modules = place / "node_modules"
        modules.mkdir()
        os.symlink(Path("crates/ingest/clients/node").resolve(), modules / "minutelog")
        try:
            for name in DOCUMENTS:
                document(name, place, addresses, s3)
        finally:
            # What a snippet has left running, where one after it has failed.
            for left in place.glob("*.pid"):
                with contextlib.suppress(OSError, ValueError):
                    os.kill(int(left.read_text()), signal.SIGTERM)


main(sys.argv[1])
