// From the call to the object in S3, with the real service.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { connect } from "../src/index.js";
import { failure } from "./support/connected.js";
import { dev, directory, ingest, missing, objects, until } from "./support/minutelog.js";
import { run } from "./support/run.js";

const options = { skip: missing, timeout: 20_000 };

before(() => missing && console.error(missing));

/** Whether all of these events are delivered. */
async function delivered(url, ids) {
  const events = await Promise.all(ids.map((id) => lookup(url, id)));
  return events.every(({ dest }) => dest.delivered === dest.total);
}

async function lookup(url, id) {
  return (await fetch(`${url}/v1/events/${id}`)).json();
}

test("each event is a line, as JSON.stringify writes it, in the order of the calls", options, async (t) => {
  const { ingest: url, s3 } = await dev(t, directory(t));
  const $send = connect(url);
  const payloads = [
    { hello: "world" }, [1, 2.5, null], "a text", "two\nlines", "ä€😀\u2028\ud800", 0, null, true,
    { z: 1, a: { b: [] } }, new Date(0), "x".repeat(100_000),
  ];
  const ids = await Promise.all(
    payloads.map((payload) => $send.s3({ bucket: "my-bucket", prefix: "forms/", payload })),
  );
  // One destination: its ids ascend.
  assert.deepEqual(ids, [...ids].sort());
  assert.equal(new Set(ids).size, payloads.length);
  await until(() => delivered(url, ids));
  assert.deepEqual(await objects(s3, "my-bucket", "forms/"), [payloads.map((payload) => JSON.stringify(payload))]);
  await $send.close();
});

test("several destinations, conditionally, in a loop, bad ones among them, nobody waiting", options, async (t) => {
  const { ingest: url, s3 } = await dev(t, directory(t));
  const errors = new Map();
  const client = connect(url, { onError: (error) => errors.set(error.code, error) });
  for (let order = 0; order < 5; order += 1) {
    const $send = client.event(`order-${order}`);
    $send.s3({ bucket: "my-bucket", prefix: "orders/", payload: { order } });
    if (order % 2 === 0) {
      $send.s3({ bucket: "audit-bucket", payload: `order ${order}` });
    }
    if (order === 3) {
      $send.s3({ bucket: "My Bucket", payload: "refused" });
      $send.s3({ bucket: "my-bucket", payload: "x".repeat(1_100_000) });
    }
  }
  await client.close();
  const orders = ["order-0", "order-1", "order-2", "order-3", "order-4"];
  await until(() => delivered(url, orders));
  const events = await Promise.all(orders.map((name) => lookup(url, name)));
  assert.deepEqual(events.map(({ dest }) => dest.total), [2, 1, 2, 1, 2]);
  assert.deepEqual((await objects(s3, "my-bucket", "")).flat(), [0, 1, 2, 3, 4].map((order) => `{"order":${order}}`));
  assert.deepEqual((await objects(s3, "audit-bucket", "")).flat(), ['"order 0"', '"order 2"', '"order 4"']);
  assert.deepEqual([...errors.keys()].sort(), ["event-too-large", "invalid-bucket"]);
  const { status, field, event } = errors.get("invalid-bucket");
  assert.deepEqual({ status, field, event }, {
    status: 422, field: "bucket", event: { bucket: "My Bucket", event: "order-3", payload: "refused" },
  });
  assert.equal(errors.get("event-too-large").status, 413);
});

test("an event of which the service reads no more is refused, and the next one accepted", options, async (t) => {
  const { ingest: url } = await dev(t, directory(t));
  const $send = connect(url);
  for (let round = 0; round < 2; round += 1) {
    const error = await failure($send.s3({ bucket: "my-bucket", payload: "x".repeat(100 << 20) }));
    assert.equal(`${error.status} ${error.code} ${error.outcome}`, "413 request-too-large not-accepted");
    assert.match(await $send.s3({ bucket: "my-bucket", payload: round }), /^[0-9A-Z]{26}$/);
  }
  await $send.close();
});

test("a program that sends and ends has sent everything", options, async (t) => {
  const { ingest: url, s3 } = await dev(t, directory(t));
  const program = "for (let n = 0; n < 30000; n += 1) $send.s3(to({ n }));";
  assert.deepEqual(await run(url, program), { code: 0, stdout: "", stderr: "" });
  const lines = await until(async () => {
    const lines = (await objects(s3, "my-bucket", "test/")).flat();
    return lines.length >= 30_000 && lines;
  });
  const expected = Array.from({ length: 30_000 }, (_, n) => `{"n":${n}}`);
  assert.deepEqual(lines.sort(), expected.sort());
});

test("events sent while ingest is killed and comes back are delivered once", options, async (t) => {
  const path = directory(t);
  const service = await ingest(t, path);
  await service.start();
  const $send = connect(service.url, { token: service.token, maxRequestBytes: 2000, maxQueuedEvents: 500 });

  const kill = async () => {
    await service.kill();
    await service.start();
  };
  let answered = 0;
  const kills = [];
  const count = () => {
    answered += 1;
    if (answered % 1500 === 0) {
      kills.push(kill());
    }
  };
  const sent = [];
  for (let n = 0; n < 5000; n += 1) {
    await $send.ready();
    sent.push($send.s3({ bucket: "my-bucket", prefix: "test/", payload: { n } }).then(count));
  }
  await Promise.all(sent);
  await Promise.all(kills);
  assert.equal(kills.length, 3);
  const refused = await failure($send.s3({ bucket: "my-bucket", prefix: "other/", payload: 1 }));
  assert.equal(`${refused.status} ${refused.code} ${refused.field}`, "403 destination-not-allowed bucket");
  await $send.close();
  const stranger = connect(service.url);
  assert.equal((await failure(stranger.s3({ bucket: "my-bucket", payload: 1 }))).code, "unauthorized");
  await stranger.close();
  await service.stop();

  const { s3 } = await dev(t, path);
  const expected = Array.from({ length: 5000 }, (_, n) => `{"n":${n}}`).sort();
  const lines = await until(async () => {
    const lines = (await objects(s3, "my-bucket", "test/")).flat();
    return lines.length >= expected.length && lines;
  });
  assert.deepEqual(lines.sort(), expected);
});
