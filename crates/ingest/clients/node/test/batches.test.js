import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, to } from "./support/connected.js";
import { hold } from "./support/service.js";

test("calls made together travel together, and each gets its own id", async (t) => {
  const { service, $send } = await connected(t, { token: "secret" });
  const ids = await Promise.all([1, 2, 3].map((payload) => $send.s3(to(payload))));
  assert.deepEqual(ids, ["id of 1", "id of 2", "id of 3"]);
  assert.deepEqual(service.payloads, [[1, 2, 3]]);
  const [{ method, path, headers, key, text }] = service.requests;
  assert.equal(`${method} ${path}`, "POST /v1/send/s3");
  assert.equal(headers["content-type"], "application/json");
  assert.equal(headers["content-length"], String(Buffer.byteLength(text)));
  assert.equal(headers.authorization, "Bearer secret");
  assert.match(key, /^[0-9a-f-]{36}$/);
});

test("calls of callbacks in the same turn travel together", async (t) => {
  const { service, $send } = await connected(t);
  await Promise.all(
    [1, 2].map(async (payload) => {
      await null;
      await null;
      await $send.s3(to(payload));
    }),
  );
  assert.deepEqual(service.payloads, [[1, 2]]);
});

test("what is called for while a request is under way travels in the next one, under another key", async (t) => {
  const { service, $send } = await connected(t);
  const first = hold();
  service.next(first);
  const sent = [$send.s3(to(1))];
  await service.arrived(1);
  sent.push($send.s3(to(2)));
  await new Promise(setImmediate);
  sent.push($send.s3(to(3)));
  first.answer();
  await Promise.all(sent);
  assert.deepEqual(service.payloads, [[1], [2, 3]]);
  assert.notEqual(service.requests[0].key, service.requests[1].key);
});

test("calls in a loop, some of them left out, nobody waiting, come in their order", async (t) => {
  const { service, $send } = await connected(t);
  for (let number = 0; number < 25_000; number += 1) {
    if (number % 5 !== 0) {
      $send.s3(to(number));
    }
  }
  await $send.flush();
  const expected = Array.from({ length: 25_000 }, (_, number) => number).filter((number) => number % 5 !== 0);
  assert.deepEqual(service.payloads.flat(), expected);
  assert.ok(service.payloads.every((payloads) => payloads.length <= 10_000));
});

test("no request is larger than allowed, in bytes; what is larger alone travels alone", async (t) => {
  const { service, $send } = await connected(t, { maxRequestBytes: 300 });
  const large = "ü".repeat(200);
  const payloads = [..."ä€😀".repeat(20)].map((letter) => letter.repeat(10)).concat(large, "last");
  await Promise.all(payloads.map((payload) => $send.s3(to(payload))));
  assert.deepEqual(service.payloads.flat(), payloads);
  for (const { text, events } of service.requests) {
    assert.ok(events.length === 1 || Buffer.byteLength(text) <= 300, text);
  }
  assert.ok(service.requests.some(({ events }) => events.length > 1));
  assert.deepEqual(service.payloads.filter((some) => some.includes(large)), [[large]]);
});

test("one name for an event of several destinations; a name in the call goes before it", async (t) => {
  const { service, $send } = await connected(t);
  const named = $send.event("order-1001");
  await Promise.all([
    named.s3({ bucket: "my-bucket", prefix: "orders/", payload: 1 }),
    named.s3({ bucket: "audit-bucket", payload: 2 }),
    named.s3({ bucket: "audit-bucket", payload: 3, event: "other" }),
    $send.s3({ bucket: "my-bucket", payload: 4, prefix: undefined }),
  ]);
  assert.equal(
    service.requests[0].text,
    '[{"bucket":"my-bucket","prefix":"orders/","event":"order-1001","payload":1},' +
      '{"bucket":"audit-bucket","event":"order-1001","payload":2},' +
      '{"bucket":"audit-bucket","event":"other","payload":3},' +
      '{"bucket":"my-bucket","payload":4}]',
  );
});

test("events with an id of their own travel without a key, apart from the others", async (t) => {
  const { service, $send } = await connected(t);
  await Promise.all([to(1), to(2, { id: "a" }), to(3, { id: "b" }), to(4)].map((event) => $send.s3(event)));
  assert.deepEqual(service.payloads, [[1], [2, 3], [4]]);
  assert.deepEqual(service.requests.map(({ key }) => key === undefined), [false, true, false]);
  assert.deepEqual(service.requests[1].events.map(({ id }) => id), ["a", "b"]);
});

test("a base path of the address is kept", async (t) => {
  const { service } = await connected(t);
  const { connect } = await import("../src/index.js");
  const $send = connect(`${service.url}/minutelog/`);
  await $send.s3(to(1));
  await $send.close();
  assert.equal(service.requests[0].path, "/minutelog/v1/send/s3");
});

test("requests share a connection, and take a new one where the service has closed it", async (t) => {
  const { service, $send } = await connected(t);
  await $send.s3(to(1));
  await $send.s3(to(2));
  assert.equal(service.connections, 1);
  service.closeIdle();
  assert.equal(await $send.s3(to(3)), "id of 3");
  assert.equal(service.connections, 2);
});
