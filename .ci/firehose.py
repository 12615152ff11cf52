"""boto3 and the AWS CLI send to streams; what arrives in S3 is what they sent, byte for byte."""

import datetime
import json
import os
import subprocess
import sys
from unittest import mock

import boto3
import botocore.auth
from botocore import UNSIGNED
from botocore.client import Config
from botocore.exceptions import ClientError

from local_site import delivered, dev, services

KEY, SECRET = "MINUTELOGTEST", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYTESTKEY"
CONFIG = f"""
[[stream]]
name = "orders"
bucket = "my-bucket"
prefix = "firehose/orders/"
[[stream]]
name = "views"
bucket = "my-bucket"
prefix = "firehose/views/"
[[access_key]]
id = "{KEY}"
secret = "{SECRET}"
allow = ["ord*"]
"""


def client(endpoint, key=KEY, secret=SECRET, **more):
    return boto3.client(
        "firehose",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
        **more,
    )


def refused(name, call):
    """Asserts that a call fails with this error."""
    try:
        answer = call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == name, error
        assert error.response["Error"]["Message"], error
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return
    raise SystemExit(f"{name} was expected, and the answer was {answer}")


def put(firehose, *records, stream="orders"):
    records = [{"Data": record} for record in records]
    return firehose.put_record_batch(DeliveryStreamName=stream, Records=records)


def unsigned(addresses, s3):
    """`dev` asks for no signature: whatever keys somebody has will do."""
    firehose = client(addresses["ingest"], key="ANY", secret="any")
    firehose.put_record(DeliveryStreamName=addresses["stream"], Record={"Data": b'{"a": 1}\n'})
    put(firehose, b'{"a": 2}', stream=addresses["stream"])
    delivered(s3, f"{addresses['stream']}/", b'{"a": 1}\n{"a": 2}\n')


def signed(minutelog, config, endpoint, s3):
    firehose = client(endpoint)
    assert firehose.list_delivery_streams()["DeliveryStreamNames"] == ["orders"]
    told = firehose.describe_delivery_stream(DeliveryStreamName="orders")
    assert told["DeliveryStreamDescription"]["DeliveryStreamStatus"] == "ACTIVE", told

    expected = b"one\n"
    first = firehose.put_record(DeliveryStreamName="orders", Record={"Data": b"one"})
    odd = ["two\n", "three\nfour\r\n", "ü ☃ \u2028\n", "", "\n", "\tfive", '{"a": "\\n"}\n']
    answer = put(firehose, *(record.encode() for record in odd))
    assert answer["FailedPutCount"] == 0, answer
    for record in odd:
        expected += record.encode() if record.endswith("\n") else record.encode() + b"\n"

    # As large as Firehose takes them, and a batch of which two records can't be lines.
    large = [b"x" * 1_024_000] * 4 + [b"y" * 98_303 + b"\n"]
    assert put(firehose, *large)["FailedPutCount"] == 0
    expected += b"\n".join(large)
    answer = put(firehose, b"six", b"\x1f\x8b\x08\x00", b"seven\n", b"\xff")
    errors = [it.get("ErrorCode") for it in answer["RequestResponses"]]
    assert errors == [None, "InvalidArgumentException"] * 2, answer
    assert answer["FailedPutCount"] == 2, answer
    expected += b"six\nseven\n"
    assert put(firehose, *[b"n"] * 500)["FailedPutCount"] == 0
    expected += b"n\n" * 500

    # Each of these is refused, and leaves nothing in the log.
    refused("InvalidArgumentException", lambda: put(firehose, *large, b"z"))
    refused("ValidationException", lambda: put(firehose, *[b"n"] * 501))
    refused("ValidationException", lambda: put(firehose, b"ok", b"x" * 1_024_001))
    refused("RequestEntityTooLargeException", lambda: put(firehose, b"x" * (13 << 20)))
    refused("AccessDeniedException", lambda: put(firehose, b"x", stream="views"))
    refused("ResourceNotFoundException", lambda: put(firehose, b"x", stream="ordinary"))
    refused("InvalidSignatureException", lambda: put(client(endpoint, secret=SECRET[::-1]), b"x"))
    refused("UnrecognizedClientException", lambda: put(client(endpoint, key="OTHER"), b"x"))
    session = client(endpoint, aws_session_token="token")
    refused("UnrecognizedClientException", lambda: put(session, b"x"))
    refused("UnknownOperationException", lambda: firehose.list_tags_for_delivery_stream(
        DeliveryStreamName="orders"))
    for minutes in (-6, 6):
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
        with mock.patch.object(botocore.auth, "get_current_datetime", lambda **_: now):
            refused("InvalidSignatureException", lambda: put(firehose, b"x"))

    expected += aws_cli(endpoint)
    delivered(s3, "firehose/orders/", expected)
    event = admin(minutelog, config, "events", "--id", first["RecordId"])["events"][0]
    assert event["event"] == "orders" and event["dest"] == {"delivered": 1, "total": 1}, event
    assert event["deliveries"][0]["line"] == 1, event


def aws_cli(endpoint):
    """The AWS CLI sends; the lines that this makes."""
    command = ["aws", "firehose", "put-record", "--endpoint-url", endpoint, "--region", "us-east-2"]
    command += ["--delivery-stream-name", "orders"]
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    for record in ("from the CLI", "from the CLI, again"):
        told = subprocess.run(
            command + ["--record", json.dumps({"Data": record})],
            env=os.environ | keys, check=True, stdout=subprocess.PIPE, text=True,
        )
        assert json.loads(told.stdout)["RecordId"], told
    return b"from the CLI\nfrom the CLI, again\n"


def admin(minutelog, config, *command):
    command = [minutelog, "admin", *command, "--json", "--config", config]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def told_nowhere(minutelog, config, log):
    """The secret is in no line of the log, and in nothing that `check` prints."""
    checked = subprocess.run([minutelog, "check", "--config", config], capture_output=True, text=True)
    assert checked.returncode == 0 and KEY in checked.stdout, checked
    assert "nobody can send to the stream views" in checked.stderr, checked
    text = checked.stdout + checked.stderr + log.read_text()
    assert '"route":"/"' in text, "the log of requests was looked at"
    assert SECRET not in text


def main(minutelog):
    with dev(minutelog) as (place, addresses):
        s3 = boto3.client(
            "s3",
            endpoint_url=addresses["s3"],
            region_name="us-east-1",
            config=Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}),
        )
        unsigned(addresses, s3)
        with services(minutelog, place / "own", addresses, CONFIG) as (config, endpoint, log):
            signed(minutelog, config, endpoint, s3)
            told_nowhere(minutelog, config, log)
    print(f"boto3 {boto3.__version__} and the AWS CLI: what they sent arrived, byte for byte")


main(sys.argv[1])
