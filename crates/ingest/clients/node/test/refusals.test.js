import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, failure, to } from "./support/connected.js";
import { accept, lost, page, problem } from "./support/service.js";

/** Refuses what has a payload over the limit, as the service does: the first that it meets, by its place. */
function refuse(isBad, status, slug, field) {
  return (request, response) => {
    const place = request.events.findIndex(isBad);
    const answer = place < 0 ? accept : problem(status, slug, { field: `[${place}].${field}` });
    answer(request, response);
  };
}

const outcomes = async (sent) => (await Promise.allSettled(sent)).map(({ value, reason }) => value ?? reason.code);

test("one bad event does not take the good ones with it", async (t) => {
  const { service, $send } = await connected(t);
  const tooLarge = refuse(({ payload }) => payload === 2 || payload === 4, 413, "event-too-large", "payload");
  service.next(tooLarge, tooLarge, tooLarge);
  const sent = [1, 2, 3, 4, 5].map((payload) => $send.s3(to(payload)));
  assert.deepEqual(await outcomes(sent), ["id of 1", "event-too-large", "id of 3", "event-too-large", "id of 5"]);
  assert.deepEqual(service.payloads, [[1, 2, 3, 4, 5], [1, 3, 4, 5], [1, 3, 5]]);
  assert.equal(new Set(service.requests.map(({ key }) => key)).size, 3);
});

test("what is refused for the same reason is refused with it", async (t) => {
  const { service, $send } = await connected(t);
  const bad = ({ bucket }) => bucket === "Bad";
  service.next(refuse(bad, 422, "invalid-bucket", "bucket"));
  const sent = Array.from({ length: 1000 }, (_, payload) =>
    $send.s3(to(payload, { bucket: payload % 2 === 0 ? "my-bucket" : "Bad", prefix: `p${payload}` })),
  );
  const expected = Array.from({ length: 1000 }, (_, payload) =>
    payload % 2 === 0 ? `id of ${payload}` : "invalid-bucket",
  );
  assert.deepEqual(await outcomes(sent), expected);
  assert.equal(service.requests.length, 2);
});

test("a destination that is refused is a bucket and a prefix", async (t) => {
  const { service, $send } = await connected(t);
  const denied = ({ prefix }) => prefix === "denied/";
  service.next(refuse(denied, 403, "destination-not-allowed", "bucket"));
  const sent = ["denied/", "test/", "denied/"].map((prefix, payload) => $send.s3(to(payload, { prefix })));
  assert.deepEqual(await outcomes(sent), ["destination-not-allowed", "id of 1", "destination-not-allowed"]);
  assert.deepEqual(service.payloads, [[0, 1, 2], [1]]);
});

test("the error tells what the service told, and gives the event back", async (t) => {
  const { service, $send } = await connected(t);
  service.next(problem(422, "invalid-prefix", { field: "[1].prefix" }));
  const event = to({ deep: [1] }, { prefix: "/bad" });
  const [id, error] = await Promise.all([$send.s3(to(0)), failure($send.event("name").s3(event))]);
  assert.equal(id, "id of 0");
  assert.equal(error.name, "SendError");
  assert.equal(error.message, "detail of invalid-prefix");
  assert.equal(error.status, 422);
  assert.equal(error.code, "invalid-prefix");
  assert.equal(error.type, "urn:minutelog:problem:invalid-prefix");
  assert.equal(error.title, "Title of invalid-prefix");
  assert.equal(error.detail, "detail of invalid-prefix");
  assert.equal(error.field, "prefix");
  assert.equal(error.outcome, "not-accepted");
  assert.equal(error.advice, "mend the prefix");
  assert.deepEqual(error.event, { ...event, event: "name" });
});

for (const [status, slug] of [
  [413, "request-too-large"],
  [413, "too-many-destinations-in-request"],
  [413, "too-many-ids"],
  [408, "slow-body"],
]) {
  test(`after ${slug} the events go in smaller requests, whichever is named`, async (t) => {
    const { service, $send } = await connected(t);
    const tooMuch = (request, response) =>
      (request.events.length > 2 ? problem(status, slug, { field: "[2].id" }) : accept)(request, response);
    service.next(...Array(6).fill(tooMuch));
    const sent = [1, 2, 3, 4, 5].map((payload) => $send.s3(to(payload)));
    assert.deepEqual(await outcomes(sent), [1, 2, 3, 4, 5].map((payload) => `id of ${payload}`));
    assert.deepEqual(service.payloads, [[1, 2, 3, 4, 5], [1, 2, 3], [1, 2], [3], [4, 5]]);
  });
}

for (const [status, slug] of [
  [400, "not-json"],
  [409, "idempotency-key-reused"],
  [413, "event-too-large"],
  [422, "invalid-prefix"],
]) {
  test(`a refusal with ${status} that names no event is found by halves`, async (t) => {
    const { service, $send } = await connected(t);
    const bad = (request, response) =>
      (request.events.some(({ payload }) => payload === 3) ? problem(status, slug) : accept)(request, response);
    service.next(...Array(5).fill(bad));
    const sent = [1, 2, 3, 4].map((payload) => $send.s3(to(payload)));
    assert.deepEqual(await outcomes(sent), ["id of 1", "id of 2", slug, "id of 4"]);
    assert.deepEqual(service.payloads, [[1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]);
  });
}

test("a refusal of whatever is sent is not taken apart", async (t) => {
  const { service, $send } = await connected(t);
  service.next(problem(401, "unauthorized"));
  const sent = [1, 2, 3].map((payload) => $send.s3(to(payload)));
  assert.deepEqual(await outcomes(sent), ["unauthorized", "unauthorized", "unauthorized"]);
  assert.equal(service.requests.length, 1);
});

test("an id that came with something else fails alone", async (t) => {
  const { service, $send } = await connected(t);
  service.next(refuse(({ id }) => id === "b", 409, "idempotency-key-reused", "id"));
  const sent = ["a", "b", "c"].map((id, payload) => $send.s3(to(payload, { id })));
  assert.deepEqual(await outcomes(sent), ["id of 0", "idempotency-key-reused", "id of 2"]);
});

for (const [name, answer, code, outcome] of [
  ["401", problem(401, "unauthorized"), "unauthorized", "not-accepted"],
  ["413 for one event", problem(413, "request-too-large"), "request-too-large", "not-accepted"],
  ["404 of something else", page(404), "unexpected-answer", "not-accepted"],
  ["a redirection", page(301), "unexpected-answer", "not-accepted"],
  ["200 of something else", page(200), "unexpected-answer", "unknown"],
  ["200 with too few ids", page(200, '{"ids":[]}'), "unexpected-answer", "unknown"],
]) {
  test(`${name} is not tried again`, async (t) => {
    const { service, $send } = await connected(t);
    service.next(answer);
    const error = await failure($send.s3(to(1)));
    assert.equal(error.code, code);
    assert.equal(error.outcome, outcome);
    assert.equal(service.requests.length, 1);
  });
}

test("a refusal after a lost answer leaves the outcome unknown", async (t) => {
  const { service, $send } = await connected(t);
  service.next(lost, problem(401, "unauthorized"));
  const error = await failure($send.s3(to(1)));
  assert.equal(error.code, "unauthorized");
  assert.equal(error.outcome, "unknown");
});

test("so it does for those that are then sent without the refused one", async (t) => {
  const { service, $send } = await connected(t);
  service.next(lost, problem(413, "event-too-large", { field: "[0].payload" }), problem(401, "unauthorized"));
  const errors = await Promise.all([1, 2].map((payload) => failure($send.s3(to(payload)))));
  assert.deepEqual(errors.map(({ code, outcome }) => `${code} ${outcome}`), [
    "event-too-large unknown", "unauthorized unknown",
  ]);
});
