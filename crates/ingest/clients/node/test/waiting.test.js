import assert from "node:assert/strict";
import { test } from "node:test";

import { backoff, retryAfter } from "../src/backoff.js";
import { Batch } from "../src/batch.js";
import { verdict } from "../src/verdict.js";

test("waits double, up to ten seconds, half of it left to chance", () => {
  assert.deepEqual([1, 2, 3, 4].map((tries) => backoff(tries, 0, 0)), [50, 100, 200, 400]);
  assert.deepEqual([1, 2, 3, 4].map((tries) => backoff(tries, 0, 1)), [100, 200, 400, 800]);
  assert.deepEqual([8, 9, 5000].map((tries) => backoff(tries, 0, 1)), [10_000, 10_000, 10_000]);
});

test("no wait is shorter than the service asked for, and none is more than a timer can", () => {
  assert.equal(backoff(1, 7000, 0), 7000);
  assert.equal(backoff(1, 7000, 1), 7050);
  assert.equal(backoff(8, 2000, 0), 5000);
  assert.equal(backoff(1, 1e12, 1), 2 ** 31 - 1);
});

test("Retry-After is seconds or a date", () => {
  const now = Date.parse("2026-11-22T10:15:00Z");
  assert.equal(retryAfter("7", now), 7000);
  assert.equal(retryAfter("Sun, 22 Nov 2026 10:15:09 GMT", now), 9000);
  assert.equal(retryAfter("Sun, 22 Nov 2026 10:14:00 GMT", now), 0);
  for (const header of [undefined, "", "soon", "-7", "0"]) {
    assert.equal(retryAfter(header, now), 0);
  }
});

test("of answers that ask for another try, only those that refuse leave no doubt", () => {
  const answer = (status, slug) => ({
    status,
    retryAfter: "7",
    text: slug === undefined ? "<html>" : JSON.stringify({ type: `urn:minutelog:problem:${slug}`, detail: "" }),
  });
  for (const [status, slug, doubt] of [
    [408, "slow-body", false],
    [408, undefined, true],
    [429, "rate-limited", false],
    [429, "too-many-destinations", false],
    [429, "too-many-keys", false],
    [500, "internal", true],
    [502, undefined, true],
    [503, "overloaded", false],
    [503, "log-full", false],
    [503, "draining", false],
    [503, "log-stopped", true],
    [503, undefined, true],
    [504, undefined, true],
  ]) {
    const { again, mayBeAccepted } = verdict(answer(status, slug), 1, 9);
    assert.deepEqual({ again, mayBeAccepted }, { again: 7000, mayBeAccepted: doubt }, `${status} ${slug}`);
  }
});

const pending = (payload, settled) => ({ event: { hasId: false, json: String(payload) }, settled });

test("a batch goes on without events that have no time left, as another one", () => {
  const batch = new Batch([pending(1, false), pending(2, true), pending(3, false)]);
  const rest = batch.living();
  assert.equal(String(rest.body), "[1,3]");
  assert.notEqual(rest.key, batch.key);
  assert.equal(rest.living(), rest);
});

test("a batch that may have been accepted stays as it is while anybody waits for it", () => {
  const pendings = [pending(1, false), pending(2, true)];
  const batch = new Batch(pendings, true);
  assert.equal(batch.living(), batch);
  assert.equal(String(batch.body), "[1,2]");
  batch.expired();
  assert.ok(!batch.abandoned.aborted);
  pendings[0].settled = true;
  batch.expired();
  assert.ok(batch.abandoned.aborted);
  assert.equal(batch.living(), undefined);
});
