import { SendError } from "./error.js";

const FIELDS = ["bucket", "prefix", "payload", "event", "id"];

/**
 * An event as it is sent. Its text is made when it is called for, so that what the caller changes in
 * the payload later changes nothing.
 *
 * @returns {{bucket: string, prefix: string, name?: string, hasId: boolean, json: string, bytes: number}}
 * @throws {SendError} `invalid-event`
 */
export function encode(event, name) {
  if (event === null || typeof event !== "object" || Array.isArray(event)) {
    throw invalid("the event is not an object: give { bucket, prefix, payload }");
  }
  for (const field of Object.keys(event)) {
    if (!FIELDS.includes(field)) {
      throw invalid(`the event has a field \`${field}\`, which is not known: there are ${FIELDS.join(", ")}`, field);
    }
  }
  const bucket = text(event, "bucket");
  if (bucket === undefined) {
    throw invalid("the event has no `bucket`: name the S3 bucket", "bucket");
  }
  const parts = { bucket, prefix: text(event, "prefix"), event: text(event, "event") ?? name, id: text(event, "id") };
  const head = JSON.stringify(parts).slice(0, -1);
  const json = `${head},"payload":${payload(event)}}`;
  return {
    bucket,
    prefix: parts.prefix ?? "",
    name: parts.event,
    hasId: parts.id !== undefined,
    json,
    bytes: Buffer.byteLength(json),
  };
}

function text(event, field) {
  const value = event[field] ?? undefined;
  if (value !== undefined && typeof value !== "string") {
    throw invalid(`the event's \`${field}\` is not a string, but ${kind(value)}`, field);
  }
  return value;
}

function payload(event) {
  let json;
  try {
    json = JSON.stringify(event.payload);
  } catch (cause) {
    // A BigInt, a cycle, or a toJSON() that throws: the engine's message says which, on several lines.
    const why = String(cause?.message ?? cause).replace(/\s+/g, " ");
    throw invalid(`the event's \`payload\` can't be written as JSON: ${why}`, "payload", cause);
  }
  if (json === undefined) {
    const why = `the event's \`payload\` is ${kind(event.payload)}, which JSON does not have`;
    throw invalid(`${why}: give a JSON value, null for none`, "payload");
  }
  return json;
}

function kind(value) {
  return value === undefined ? "undefined" : `of the type ${typeof value}`;
}

function invalid(detail, field, cause) {
  return new SendError({ code: "invalid-event", detail, field, cause });
}
