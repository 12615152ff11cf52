// What an answer means for the batch that it answers. docs/http.md has the table of the problems.

import { retryAfter } from "./backoff.js";
import { SendError } from "./error.js";

const URN = "urn:minutelog:problem:";

/** Nothing of such a request is accepted, although its status is 5xx. */
const REFUSED_FOR_NOW = new Set(["overloaded", "log-full", "draining"]);

/** Of a whole request that is too large in some way: smaller ones may get through. */
const TOO_MUCH = new Set(["request-too-large", "too-many-destinations-in-request", "too-many-ids", "slow-body"]);

/** Other statuses say nothing of single events. */
const OF_EVENTS = new Set([400, 409, 413, 422]);

/**
 * @param {{status: number, retryAfter?: string, text: string}} answer
 * @param {number} size how many events the batch has
 * @param {number} tries how often it was sent
 * @param {boolean} mayBeAccepted whether an earlier try may have been accepted
 * @returns one of
 *   `{ids}`: accepted;
 *   `{again, mayBeAccepted, error}`: the same once more, after `again` ms at the earliest;
 *   `{halves: true, error}`: in two requests;
 *   `{refused, error}`: without the event at this place, and those that `alike` says;
 *   `{error}`: not at all
 */
export function verdict(answer, size, tries, mayBeAccepted = false) {
  const { status } = answer;
  const document = parse(answer.text);
  if (status === 200) {
    const ids = document?.ids;
    if (Array.isArray(ids) && ids.length === size) {
      return { ids };
    }
    return { mayBeAccepted: true, error: unexpected(status, "the answer has not one id for each event") };
  }
  const error = problem(status, document);
  const { code } = error;
  // How slow a body is says nothing of the try before: in two requests its events might be there twice.
  const mustStayWhole = mayBeAccepted && code === "slow-body";
  if (TOO_MUCH.has(code) && size > 1 && !mustStayWhole) {
    return { halves: true, error };
  }
  if (status === 408 || status === 429 || status >= 500 || (code === "broken-body" && tries === 1)) {
    const isInDoubt = status === 408 ? code !== "slow-body" : status >= 500 && !REFUSED_FOR_NOW.has(code);
    return { again: retryAfter(answer.retryAfter, Date.now()), mayBeAccepted: isInDoubt, error };
  }
  const place = /^\[(\d+)\]/.exec(document?.field)?.[1];
  if (place !== undefined && Number(place) < size) {
    return { refused: Number(place), error };
  }
  return OF_EVENTS.has(status) && size > 1 ? { halves: true, error } : { error };
}

/** Whether the service would refuse `other` for the same reason as `event`. */
export function alike(code, event, other) {
  switch (code) {
    case "invalid-bucket":
      return other.bucket === event.bucket;
    case "invalid-prefix":
      return other.prefix === event.prefix;
    case "destination-not-allowed":
      return other.bucket === event.bucket && other.prefix === event.prefix;
    case "invalid-event-name":
      return other.name === event.name;
    default:
      return other === event;
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function problem(status, document) {
  const { type, title, detail, field } = document ?? {};
  if (typeof type !== "string" || !type.startsWith(URN)) {
    return unexpected(status, `the answer is ${status}, and none of minutelog's`);
  }
  return new SendError({
    code: type.slice(URN.length),
    detail,
    status,
    problem: { type, title },
    // Of this event; its place in the request is nothing to the caller.
    field: typeof field === "string" ? field.replace(/^\[\d+\]\.?/, "") || undefined : undefined,
  });
}

function unexpected(status, detail) {
  return new SendError({ code: "unexpected-answer", status, detail });
}
