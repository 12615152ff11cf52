"""What the description can't say to a program that makes requests from it."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    """Lines of a text become JSON strings; what is no text becomes no JSON."""
    lines = value.split("\n") if isinstance(value, str) else None
    return "".join(json.dumps(line) + "\n" for line in lines).encode() if lines else b"{"


# In bytes of UTF-8, where a schema counts characters.
LONGEST = {"prefix": 512, "event": 256, "id": 255}


def shorten(fields):
    for name, longest in LONGEST.items():
        value = fields.get(name)
        if isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) > longest:
            del fields[name]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Brings what fits the description, part by part, to what fits as a whole."""
    if case.meta is None or case.meta.generation.mode.value != "positive":
        return
    events = case.body if isinstance(case.body, list) else [case.body]
    for fields in [*events, case.query]:
        if isinstance(fields, dict):
            shorten(fields)
    headers = case.headers or {}
    # A body is made, and not compressed: so it is not called compressed.
    if headers.get("Content-Encoding") in ("gzip", "deflate", "zstd"):
        headers["Content-Encoding"] = "identity"
    # A key of the whole request and ids of single events exclude each other.
    if "Idempotency-Key" in headers and '"id"' in json.dumps(case.body, default=str):
        del headers["Idempotency-Key"]
