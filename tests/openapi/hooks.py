"""What the description can't say to a program that makes requests from it."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    """Lines of a text become JSON strings; what is no text becomes no JSON."""
    lines = value.split("\n") if isinstance(value, str) else None
    return "".join(json.dumps(line) + "\n" for line in lines).encode() if lines else b"{"


@schemathesis.hook
def before_call(context, case, kwargs):
    """Brings what fits the description, part by part, to what fits as a whole."""
    if not case.headers or case.meta is None or case.meta.generation.mode.value != "positive":
        return
    # A body is made, and not compressed: so it is not called compressed.
    if case.headers.get("Content-Encoding") in ("gzip", "deflate", "zstd"):
        case.headers["Content-Encoding"] = "identity"
    # A key of the whole request and ids of single events exclude each other.
    if "Idempotency-Key" in case.headers and '"id"' in json.dumps(case.body, default=str):
        del case.headers["Idempotency-Key"]
