// The real service, as processes of the binary that MINUTELOG_BIN names.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";

const BINARY = process.env.MINUTELOG_BIN && resolve(process.env.MINUTELOG_BIN);

/** Why tests against the real service can't run: to be given to `skip`. */
export const missing = BINARY ? false : "MINUTELOG_BIN is not set: NOTHING WAS TESTED AGAINST THE REAL SERVICE";

/** What is configured outside has no say here. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("MINUTELOG")));

const undone = new WeakMap();

/** As `t.after`, but the last one first: what works in a directory is stopped before that is removed. */
function after(t, undo) {
  if (!undone.has(t)) {
    undone.set(t, []);
    t.after(async () => {
      for (const last of undone.get(t).reverse()) {
        await last();
      }
    });
  }
  undone.get(t).push(undo);
}

/** A directory of the test. */
export function directory(t) {
  const path = mkdtempSync(join(tmpdir(), "minutelog-"));
  after(t, () => rmSync(path, { recursive: true }));
  return path;
}

/** `minutelog dev` with minutes of a second; resolves to the addresses when all three are ready. */
export async function dev(t, path) {
  const child = spawn(BINARY, ["dev", "--json", "--interval", "1s", "--data-dir", path], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  after(t, () => stop(child));
  let text = "";
  for await (const line of createInterface(child.stdout)) {
    text += line;
    if (line === "}") {
      return JSON.parse(text);
    }
  }
  throw new Error("minutelog dev ended before it was ready");
}

/**
 * Ingest alone, whose log lies where `dev` of the same directory looks for it.
 *
 * @returns its `url` and its `token`; `start`, `kill` and `stop` resolve when that is done
 */
export async function ingest(t, path) {
  const { token, config } = JSON.parse(execFileSync(BINARY, ["admin", "token", "node", "--json"], { env }));
  const [listen, ops, flusher] = (await freePorts(3)).map((port) => `127.0.0.1:${port}`);
  const file = join(path, "ingest.toml");
  writeFileSync(file, [
    `data_dir = ${JSON.stringify(join(path, "data"))}`,
    `log.interval = "1s"`,
    `ingest = { listen = "${listen}", ops_listen = "${ops}" }`,
    `flusher.ops_listen = "${flusher}"`,
    config,
  ].join("\n"));
  const log = openSync(join(path, "ingest-alone.log"), "a");
  let child;
  const end = async (signal) => {
    child?.kill(signal);
    await ended(child);
  };
  after(t, () => end("SIGKILL"));
  return {
    url: `http://${listen}`,
    token,
    async start() {
      child = spawn(BINARY, ["ingest", "--config", file], { env, stdio: ["ignore", log, log] });
      await until(async () => (await fetch(`http://${ops}/readyz`)).ok);
    },
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
  };
}

/** All lines that S3 holds of a bucket and a prefix: an array for each object, oldest first. */
export async function objects(s3, bucket, prefix) {
  const list = await (await fetch(`${s3}/${bucket}?list-type=2&prefix=${encodeURIComponent(prefix)}`)).text();
  const keys = [...list.matchAll(/<Key>([^<]+)<\/Key>/g)].map(([, key]) => key).sort();
  return Promise.all(
    keys.map(async (key) => {
      const bytes = Buffer.from(await (await fetch(`${s3}/${bucket}/${key}`)).arrayBuffer());
      return gunzipSync(bytes).toString().split("\n").slice(0, -1);
    }),
  );
}

/** Resolves to what `ask` gives, once that is something; a failure is asked again. The test's time limit ends it. */
export async function until(ask) {
  for (;;) {
    const answer = await Promise.resolve().then(ask).catch(() => undefined);
    if (answer) {
      return answer;
    }
    await sleep(50);
  }
}

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

async function stop(child) {
  child.kill("SIGTERM");
  await ended(child);
}

async function ended(child) {
  if (child !== undefined && child.exitCode === null && child.signalCode === null) {
    await once(child, "exit");
  }
}
