import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "../src/index.js";
import { connected, to } from "./support/connected.js";

test("an address that can't be one is refused", () => {
  for (const [url, message] of [
    ["127.0.0.1", /no URL/],
    [undefined, /no URL/],
    ["ftp://127.0.0.1", /neither http nor https/],
    ["http://user:password@127.0.0.1", /give the token as an option/],
    ["http://127.0.0.1/?a=1", /a query or a fragment/],
    ["http://127.0.0.1/#a", /a query or a fragment/],
  ]) {
    assert.throws(() => connect(url), { name: "TypeError", message });
  }
});

test("options that are unknown, of a wrong type or impossible are refused", () => {
  for (const [options, name, message] of [
    [null, "TypeError", /not an object/],
    [{ timeOut: 1 }, "TypeError", /no `timeOut`: there are timeout, requestTimeout, .*token/],
    [{ token: "" }, "TypeError", /not a token/],
    [{ token: "a\nb" }, "TypeError", /not a token/],
    [{ token: 7 }, "TypeError", /not a token/],
    [{ onError: "log" }, "TypeError", /not a function/],
    [{ tls: { rejectUnauthorized: false } }, "TypeError", /no `rejectUnauthorized`: there are ca, cert/],
    [{ timeout: 0 }, "RangeError", /`timeout` is 0: give a whole number from 1 to 2147483647/],
    [{ timeout: 2 ** 31 }, "RangeError", /`timeout`/],
    [{ requestTimeout: 1.5 }, "RangeError", /`requestTimeout`/],
    [{ maxQueuedEvents: "10" }, "RangeError", /`maxQueuedEvents`/],
    [{ maxQueuedBytes: Infinity }, "RangeError", /`maxQueuedBytes`/],
    [{ maxRequestBytes: -1 }, "RangeError", /`maxRequestBytes`/],
  ]) {
    assert.throws(() => connect("http://127.0.0.1:9600", options), { name, message });
  }
});

test("options that are left out, or undefined, have their defaults; an address may be a URL", async (t) => {
  const { service } = await connected(t);
  const nothing = { token: undefined, timeout: undefined, onError: undefined, tls: undefined };
  const $send = connect(new URL(service.url), nothing);
  assert.equal(await $send.s3(to(1)), "id of 1");
  assert.equal(service.requests[0].headers.authorization, undefined);
  await $send.close();
});
