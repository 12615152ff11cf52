// What to do about a failure, where the service's own `detail` does not say it to this caller.

const BY_CODE = {
  "invalid-event": "mend the call",
  "not-json": "mend the payload",
  "invalid-bucket": "mend the bucket's name",
  "invalid-prefix": "mend the prefix",
  "invalid-event-name": "mend the event's name",
  "invalid-id": "mend the event's id",
  "event-too-large": "split the payload, or have `ingest.max_event_bytes` raised",
  "request-too-large":
    "split the payload, or have `ingest.max_request_bytes` or the sender's `bytes_per_minute` raised",
  "idempotency-key-reused": "give each event an `id` of its own",
  "unauthorized": "connect with the token of a [[token]] block of the service's configuration",
  "destination-not-allowed": "have the destination added to the token's `allow`, or use another token",
  "certificate": "trust the service's authority by the option `tls.ca`, or use the name that its certificate has",
  "unexpected-answer": "check that the address is that of minutelog's ingest, not of something else",
  "closed": "send before close(), or connect anew",
  "process-exit": "await flush() or close() before process.exit()",
};

const MAYBE = "it may have been accepted: look it up, or send it with an `id`, so that a repeat is known as one";

export function advice(code, status, outcome) {
  if (outcome === "unknown") {
    return MAYBE;
  }
  const known = BY_CODE[code];
  if (known !== undefined) {
    return known;
  }
  return status === undefined || status >= 500 || status === 408 || status === 429
    ? "send it again later; it was not accepted"
    : "see the detail; sending it again as it is will not help";
}
