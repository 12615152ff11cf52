import assert from "node:assert/strict";
import { test } from "node:test";

import { SendError } from "../src/index.js";
import { connected, failure, to } from "./support/connected.js";
import { hold } from "./support/service.js";

test("a payload is the text that JSON.stringify gives", async (t) => {
  const { service, $send } = await connected(t);
  const payloads = [
    null, true, 0, -0.5, 1e300, NaN, "", "two\nlines", "ä€😀\u2028\ud800", [], [undefined], {},
    { b: 1, a: undefined }, new Date(0), { toJSON: () => "mine" }, "1",
  ];
  await Promise.all(payloads.map((payload) => $send.s3({ bucket: "b", payload })));
  const expected = payloads.map((payload) => `{"bucket":"b","payload":${JSON.stringify(payload)}}`);
  assert.equal(service.requests[0].text, `[${expected.join(",")}]`);
});

test("what is changed after the call is sent as it was at the call", async (t) => {
  const { service, $send } = await connected(t, { maxQueuedEvents: 1 });
  const first = hold();
  service.next(first);
  const row = { number: 1 };
  const sent = [$send.s3(to(row))];
  await service.arrived(1);
  for (row.number = 2; row.number < 4; row.number += 1) {
    sent.push($send.s3(to(row)));
  }
  first.answer();
  await Promise.all(sent);
  assert.deepEqual(service.payloads.flat(), [{ number: 1 }, { number: 2 }, { number: 3 }]);
});

test("what can't be sent is refused at the call, and nothing of it is sent", async (t) => {
  const { service, $send } = await connected(t);
  const cycle = {};
  cycle.self = cycle;
  const throwing = { toJSON: () => { throw new Error("not today"); } };
  const cases = [
    [to(undefined), "payload", /`payload` is undefined, .*give a JSON value, null for none/],
    [{ bucket: "b" }, "payload", /`payload` is undefined/],
    [to(() => 1), "payload", /of the type function/],
    [to(Symbol("s")), "payload", /of the type symbol/],
    [to(1n), "payload", /can't be written as JSON: .*BigInt/],
    [to({ deep: [1n] }), "payload", /can't be written as JSON: .*BigInt/],
    [to(cycle), "payload", /can't be written as JSON: .*circular/],
    [to(throwing), "payload", /not today/],
    [{ payload: 1 }, "bucket", /no `bucket`/],
    [to(1, { bucket: 7 }), "bucket", /`bucket` is not a string, but of the type number/],
    [to(1, { prefix: {} }), "prefix", /`prefix` is not a string/],
    [to(1, { event: 7 }), "event", /`event` is not a string/],
    [to(1, { id: 7 }), "id", /`id` is not a string/],
    [to(1, { prefx: "a" }), "prefx", /`prefx`, which is not known: there are bucket, prefix, payload, event, id/],
    [undefined, undefined, /not an object/],
    [[to(1)], undefined, /not an object/],
  ];
  for (const [event, field, message] of cases) {
    const error = await failure($send.s3(event));
    assert.ok(error instanceof SendError && error instanceof Error);
    assert.match(error.message, message);
    assert.equal(error.field, field);
    assert.equal(error.code, "invalid-event");
    assert.equal(error.outcome, "not-accepted");
    assert.equal(error.status, undefined);
    assert.notEqual(error.advice, "");
  }
  assert.throws(() => $send.event(7), TypeError);
  assert.deepEqual(service.requests, []);
});
