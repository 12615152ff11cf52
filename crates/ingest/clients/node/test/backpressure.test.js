import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, to } from "./support/connected.js";
import { hold } from "./support/service.js";

const turns = async () => {
  for (let turn = 0; turn < 10; turn += 1) {
    await new Promise(setImmediate);
  }
};

/** Whether a promise is still open after a few turns. */
async function isOpen(promise) {
  let open = true;
  promise.then(() => (open = false));
  await turns();
  return open;
}

test("calls beyond the bound of events wait until others are answered, in their order", async (t) => {
  const { service, $send } = await connected(t, { maxQueuedEvents: 3 });
  const [first, second] = [hold(), hold()];
  service.next(first, second);
  const sent = [1, 2, 3, 4, 5, 6, 7].map((payload) => $send.s3(to(payload)));
  await service.arrived(1);
  await turns();
  assert.deepEqual(service.payloads, [[1, 2, 3]]);
  first.answer();
  await service.arrived(2);
  assert.deepEqual(service.payloads, [[1, 2, 3], [4, 5, 6]]);
  second.answer();
  assert.deepEqual(await Promise.all(sent), [1, 2, 3, 4, 5, 6, 7].map((payload) => `id of ${payload}`));
  assert.deepEqual(service.payloads, [[1, 2, 3], [4, 5, 6], [7]]);
});

test("calls beyond the bound of bytes wait; one that is larger than the bound does not wait for ever", async (t) => {
  const { service, $send } = await connected(t, { maxQueuedBytes: 150 });
  const large = "ä".repeat(500);
  await Promise.all([1, 2, 3, large, 4].map((payload) => $send.s3(to(payload))));
  // An event of a digit has 54 bytes.
  assert.deepEqual(service.payloads, [[1, 2], [3], [large], [4]]);
});

test("ready() waits until there is room, and no longer", async (t) => {
  const { service, $send } = await connected(t, { maxQueuedEvents: 2 });
  const first = hold();
  service.next(first);
  await $send.ready();
  $send.s3(to(1));
  await $send.ready();
  $send.s3(to(2));
  const ready = $send.ready();
  assert.ok(await isOpen(ready));
  first.answer();
  await ready;
  await $send.flush();
  await $send.ready();
});

test("ready() waits for room in bytes as well", async (t) => {
  const { service, $send } = await connected(t, { maxQueuedBytes: 50 });
  const first = hold();
  service.next(first);
  $send.s3(to(1));
  const ready = $send.ready();
  assert.ok(await isOpen(ready));
  first.answer();
  await ready;
});

test("a loop that awaits ready() never has more under way than the bound, and loses nothing", async (t) => {
  const { service, $send } = await connected(t, { maxQueuedEvents: 10 });
  for (let number = 0; number < 1000; number += 1) {
    await $send.ready();
    $send.s3(to(number));
  }
  await $send.flush();
  assert.deepEqual(service.payloads.flat(), Array.from({ length: 1000 }, (_, number) => number));
  assert.ok(service.payloads.every(({ length }) => length <= 10));
});

test("flush() waits for what was sent before it, and not for what comes after", async (t) => {
  const { service, $send } = await connected(t);
  const [first, second] = [hold(), hold()];
  service.next(first, second);
  $send.s3(to(1));
  await service.arrived(1);
  const flushed = $send.flush();
  const later = $send.s3(to(2));
  assert.ok(await isOpen(flushed));
  first.answer();
  await flushed;
  const flushedLater = $send.event("name").flush();
  await service.arrived(2);
  assert.ok(await isOpen(flushedLater));
  second.answer();
  await flushedLater;
  await later;
});

test("close() waits for everything, and refuses what comes after it", async (t) => {
  const { service, $send } = await connected(t);
  const first = hold();
  service.next(first);
  const sent = $send.s3(to(1));
  const closed = $send.close();
  const [late] = await Promise.allSettled([$send.s3(to(2))]);
  assert.equal(late.reason.code, "closed");
  assert.equal(late.reason.outcome, "not-accepted");
  assert.deepEqual(late.reason.event, to(2));
  await service.arrived(1);
  assert.ok(await isOpen(closed));
  first.answer();
  await closed;
  assert.equal(await sent, "id of 1");
  assert.equal(service.requests.length, 1);
});
