// What becomes of a process that sends: programs of their own, each with a service of the test's.

import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "../src/index.js";
import { run } from "./support/run.js";
import { hold, lost, page, problem, Service, silent } from "./support/service.js";

async function service(t) {
  const service = await Service.start();
  t.after(() => service.stop());
  return service;
}

test("everything sent before the process leaves, and then nothing keeps it", async (t) => {
  const started = await service(t);
  started.next(lost, problem(503, "draining"));
  const { code, stderr } = await run(started.url, "for (let n = 0; n < 20000; n += 1) $send.s3(to(n));");
  assert.equal(stderr, "");
  assert.equal(code, 0);
  const whole = Array.from({ length: 20_000 }, (_, number) => number);
  assert.deepEqual(started.payloads.slice(2).flat(), whole);
});

test("an awaited id, and then the end without close()", async (t) => {
  const started = await service(t);
  const { code, stdout } = await run(started.url, "console.log(await $send.s3(to(1)));");
  assert.equal(stdout, "id of 1\n");
  assert.equal(code, 0);
});

test("a failure that nobody waits for is a warning, and the process goes on", async (t) => {
  const started = await service(t);
  started.next(page(401), problem(422, "invalid-bucket", { field: "[0].bucket" }));
  const { code, stdout, stderr } = await run(
    started.url,
    `$send.s3(to(1));
     await $send.flush();
     $send.s3(to(2));
     $send.s3(to(3));
     $send.s3(to(4n));
     await $send.flush();
     setImmediate(() => console.log("still here"));`,
  );
  assert.match(stderr, /MinutelogWarning: an event not accepted: the answer is 401/);
  assert.match(stderr, /\[invalid-bucket\] MinutelogWarning: 2 events not accepted: detail of invalid-bucket\n/);
  assert.match(stderr, /\nmend the bucket's name\. To handle it, await the call/);
  assert.match(stderr, /MinutelogWarning: an event not accepted: .*BigInt/);
  assert.equal(stderr.match(/MinutelogWarning/g).length, 3);
  assert.equal(stdout, "still here\n");
  assert.equal(code, 0);
});

test("a failure that somebody waits for is theirs alone", async (t) => {
  const started = await service(t);
  started.next(...Array(3).fill(problem(422, "invalid-id")));
  const { code, stdout, stderr } = await run(
    started.url,
    `await $send.s3(to(1)).catch(({ code }) => console.log("caught", code));
     const together = await Promise.allSettled([$send.s3(to(2)), $send.s3(to(3n))]);
     console.log(together.map(({ reason }) => reason.code).join());
     const kept = $send.s3(to(4));
     await $send.flush();
     await kept.then(undefined, ({ code }) => console.log("kept", code));
     await $send.s3(to(5));`,
  );
  assert.equal(stdout, "caught invalid-id\ninvalid-id,invalid-event\nkept invalid-id\n");
  assert.equal(stderr, "");
  assert.equal(code, 0);
});

test("a failure that is awaited and not caught ends the process, as of any promise", async (t) => {
  const started = await service(t);
  started.next(problem(422, "invalid-id"));
  const { code, stderr } = await run(started.url, "await $send.s3(to(1));");
  assert.match(stderr, /SendError: detail of invalid-id/);
  assert.equal(code, 1);
});

const TELLING = "{ onError: (error) => console.log(error.code, error.outcome, JSON.stringify(error.event)) }";

test("onError is told of what nobody waits for, with the event", async (t) => {
  const started = await service(t);
  started.next(problem(413, "event-too-large", { field: "[1].payload" }));
  const { code, stdout, stderr } = await run(
    started.url,
    `$send.s3(to(1));
     $send.s3(to({ two: 2 }));
     await $send.s3(to(3));
     await $send.s3(to(undefined)).catch(() => {});`,
    TELLING,
  );
  const event = '{"bucket":"my-bucket","prefix":"test/","payload":{"two":2}}';
  assert.equal(stdout, `event-too-large not-accepted ${event}\n`);
  assert.equal(stderr, "");
  assert.equal(code, 0);
});

test("process.exit() does not lose events silently", async (t) => {
  const started = await service(t);
  started.next(silent);
  const ended = run(
    started.url,
    `$send.s3(to(1)).catch(() => {});
     process.stdin.once("data", () => {
       for (let n = 2; n < 5; n += 1) $send.s3(to(n));
       $send.s3(to(6n));
       process.exit(3);
     });`,
  );
  await started.arrived(1);
  ended.stdin.end("now");
  const { code, stderr } = await ended;
  assert.match(stderr, /at the end of the process: 3 events not accepted: the process ended before/);
  assert.match(stderr, /an event may not have been accepted: the process ended before/);
  assert.match(stderr, /an event not accepted: .*BigInt/);
  assert.match(stderr, /await flush\(\) or close\(\) before process\.exit\(\)/);
  assert.equal(code, 3);
});

test("nor does an exception that nobody catches", async (t) => {
  const started = await service(t);
  const { code, stderr } = await run(started.url, '$send.s3(to(1)); throw new Error("mine");');
  assert.match(stderr, /Error: mine/);
  assert.match(stderr, /at the end of the process: an event not accepted/);
  assert.equal(code, 1);
});

test("onError gets the events that process.exit() leaves behind, for as long as it works at once", async (t) => {
  const started = await service(t);
  const { code, stdout, stderr } = await run(started.url, "$send.s3(to(1)); $send.s3(to(2)); process.exit();", TELLING);
  const event = (payload) => `{"bucket":"my-bucket","prefix":"test/","payload":${payload}}`;
  assert.equal(stdout, `process-exit not-accepted ${event(1)}\nprocess-exit not-accepted ${event(2)}\n`);
  assert.equal(stderr, "");
  assert.equal(code, 0);
});

test("the end of the process is listened for only while events are on their way", async (t) => {
  const started = await service(t);
  const listeners = process.listenerCount("exit");
  const $send = connect(started.url);
  const sent = $send.s3({ bucket: "my-bucket", payload: 1 });
  assert.equal(process.listenerCount("exit"), listeners + 1);
  await sent;
  assert.equal(process.listenerCount("exit"), listeners);
  await $send.close();
});

test("after flush() there is nothing to lose by process.exit()", async (t) => {
  const started = await service(t);
  const first = hold();
  started.next(first);
  const ended = run(started.url, "$send.s3(to(1)); await $send.flush(); process.exit();");
  await started.arrived(1);
  first.answer();
  assert.deepEqual(await ended, { code: 0, stdout: "", stderr: "" });
});
