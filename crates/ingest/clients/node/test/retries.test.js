import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "../src/index.js";
import { connected, failure, to } from "./support/connected.js";
import { accept, hold, lost, page, problem, Service, silent } from "./support/service.js";

/** All requests of the service were the same one, under the same key. */
function assertRepeated(service, count) {
  assert.equal(service.requests.length, count);
  assert.equal(new Set(service.requests.map(({ key, text }) => `${key} ${text}`)).size, 1);
}

for (const [name, answer] of [
  ["a lost answer", lost],
  ["429 rate-limited", problem(429, "rate-limited")],
  ["500 internal", problem(500, "internal")],
  ["503 log-full", problem(503, "log-full")],
  ["503 draining", problem(503, "draining")],
  ["503 log-stopped", problem(503, "log-stopped")],
  ["408 slow-body for one event", problem(408, "slow-body")],
  ["400 broken-body", problem(400, "broken-body")],
  ["a proxy's 502", page(502)],
]) {
  test(`after ${name} the same is sent under the same key`, async (t) => {
    const { service, $send } = await connected(t);
    service.next(answer);
    assert.equal(await $send.s3(to(1)), "id of 1");
    assertRepeated(service, 2);
  });
}

test("it is sent again as often as it takes", async (t) => {
  const { service, $send } = await connected(t);
  service.next(lost, problem(503, "overloaded"), lost);
  assert.deepEqual(await Promise.all([$send.s3(to(1)), $send.s3(to(2))]), ["id of 1", "id of 2"]);
  assertRepeated(service, 4);
});

test("what may have been accepted stays whole, however slow it is the next time", async (t) => {
  const { service, $send } = await connected(t);
  service.next(lost, problem(408, "slow-body"));
  assert.deepEqual(await Promise.all([$send.s3(to(1)), $send.s3(to(2))]), ["id of 1", "id of 2"]);
  assertRepeated(service, 3);
});

test("a request without an answer is given up, and sent again", async (t) => {
  const { service, $send } = await connected(t, { requestTimeout: 100 });
  service.next(silent);
  assert.equal(await $send.s3(to(1)), "id of 1");
  assertRepeated(service, 2);
});

test("a service that is not there yet is waited for", async (t) => {
  const before = await Service.start();
  const { port, url } = before;
  await before.stop();
  const $send = connect(url);
  const sent = $send.s3(to(1));
  await new Promise((resolve) => setTimeout(resolve, 200));
  const service = await Service.start(undefined, port);
  t.after(() => service.stop());
  assert.equal(await sent, "id of 1");
  assert.equal(service.requests.length, 1);
  await $send.close();
});

test("nobody comes back before Retry-After", async (t) => {
  const { service, $send } = await connected(t, { timeout: 300 });
  service.next(problem(429, "rate-limited", { headers: { "retry-after": "3600" } }));
  const error = await failure($send.s3(to(1)));
  assert.equal(service.requests.length, 1);
  assert.equal(error.code, "timeout");
  assert.equal(error.status, 429);
  assert.equal(error.type, "urn:minutelog:problem:rate-limited");
  assert.match(error.message, /^not accepted within 300 ms: detail of rate-limited$/);
  assert.equal(error.cause.code, "rate-limited");
  assert.equal(error.outcome, "not-accepted");
  assert.match(error.advice, /again later/);
  // Whoever comes later does not wait for it any more.
  assert.equal(await $send.s3(to(2)), "id of 2");
});

test("an event that may have been accepted fails as one of which that is unknown", async (t) => {
  const { service, $send } = await connected(t, { timeout: 300 });
  service.next(lost, ...Array(50).fill(problem(503, "draining")));
  const error = await failure($send.s3(to(1)));
  assert.equal(error.code, "timeout");
  assert.equal(error.outcome, "unknown");
  assert.match(error.advice, /may have been accepted/);
});

test("so does one whose only request has no answer yet, which is then given up", async (t) => {
  const { service, $send } = await connected(t, { timeout: 200 });
  service.next(silent);
  const error = await failure($send.s3(to(1)));
  assert.equal(error.outcome, "unknown");
  assert.match(error.message, /there was no answer/);
  assert.equal(await $send.s3(to(2)), "id of 2");
});

test("where nobody listens, it is certain that nothing was accepted", async () => {
  const service = await Service.start();
  const { url } = service;
  await service.stop();
  const $send = connect(url, { timeout: 200 });
  const error = await failure($send.s3(to(1)));
  assert.equal(error.code, "timeout");
  assert.equal(error.outcome, "not-accepted");
  assert.equal(error.cause.code, "no-answer");
  assert.equal(error.cause.cause.code, "ECONNREFUSED");
  await $send.close();
});

test("events wait in the queue no longer than their time", async (t) => {
  const { service, $send } = await connected(t, { timeout: 200, maxQueuedEvents: 1 });
  const deaf = (request, response) => (request.events[0].payload < 4 ? silent : accept)(request, response);
  service.next(deaf, deaf, deaf, deaf);
  const failures = await Promise.all([1, 2, 3].map((payload) => failure($send.s3(to(payload)))));
  assert.deepEqual(failures.map(({ code }) => code), ["timeout", "timeout", "timeout"]);
  assert.equal(failures[0].outcome, "unknown");
  assert.equal(await $send.s3(to(4)), "id of 4");
});

test("an event that runs out of time leaves the others of its request their time", async (t) => {
  const { service, $send } = await connected(t, { timeout: 2000 });
  const [first, second, third] = [hold(), hold(), hold()];
  service.next(first, second, third);
  const sent = [$send.s3(to(0))];
  await service.arrived(1);
  const early = $send.s3(to(1));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  sent.push($send.s3(to(2)));
  first.answer();
  await service.arrived(2);
  const { code, outcome } = await failure(early);
  assert.equal(`${code} ${outcome}`, "timeout unknown");
  second.answer();
  assert.deepEqual(await Promise.all(sent), ["id of 0", "id of 2"]);
  assert.deepEqual(service.payloads, [[0], [1, 2]]);

  // Nothing is counted twice: whoever comes later is waited for.
  sent.push($send.s3(to(3)));
  let flushed = false;
  $send.flush().then(() => (flushed = true));
  await service.arrived(3);
  assert.equal(flushed, false);
  third.answer();
  assert.equal(await sent[2], "id of 3");
});

test("an answer that is far too long is none", async (t) => {
  const { service, $send } = await connected(t);
  service.next(page(200, " ".repeat(5 << 20)));
  assert.equal(await $send.s3(to(1)), "id of 1");
  assertRepeated(service, 2);
});
