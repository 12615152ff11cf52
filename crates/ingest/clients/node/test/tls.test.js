import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { connect } from "../src/index.js";
import { failure, to } from "./support/connected.js";
import { Service } from "./support/service.js";

/** A certificate that is its own authority, and its key. */
function certificate(t) {
  const directory = mkdtempSync(join(tmpdir(), "minutelog-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const [cert, key] = ["cert.pem", "key.pem"].map((name) => join(directory, name));
  execFileSync("openssl", [
    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert,
  ], { stdio: "pipe" });
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

async function secure(t, options) {
  const service = await Service.start(https.createServer(options));
  t.after(() => service.stop());
  return { service, url: `https://localhost:${service.port}` };
}

test("a certificate that is not to be trusted is an error at once, and one of tls.ca is trusted", async (t) => {
  const own = certificate(t);
  const { service, url } = await secure(t, own);
  const error = await failure(connect(url, { timeout: 5000 }).s3(to(1)));
  assert.equal(error.code, "certificate");
  assert.equal(error.outcome, "not-accepted");
  assert.match(error.advice, /tls\.ca/);
  const named = connect(`https://127.0.0.1:${service.port}`, { tls: { ca: own.cert }, timeout: 5000 });
  assert.equal((await failure(named.s3(to(1)))).code, "certificate");
  assert.deepEqual(service.requests, []);

  const $send = connect(url, { tls: { ca: own.cert } });
  assert.equal(await $send.s3(to(1)), "id of 1");
  assert.equal(await $send.s3(to(2)), "id of 2");
  await $send.close();
});

test("a client certificate is shown where the service asks for one", async (t) => {
  const own = certificate(t);
  const { url } = await secure(t, { ...own, ca: own.cert, requestCert: true, rejectUnauthorized: true });
  const $send = connect(url, { tls: { ca: own.cert, cert: own.cert, key: own.key } });
  assert.equal(await $send.s3(to(1)), "id of 1");
  await $send.close();
  const without = connect(url, { tls: { ca: own.cert }, timeout: 500 });
  assert.equal((await failure(without.s3(to(1)))).code, "timeout");
});
