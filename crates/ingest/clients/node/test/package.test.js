// The documents name what the code has.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as client from "../src/index.js";
import { checkOptions } from "../src/options.js";

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");

test("every option and its default stands in the README and in the types", () => {
  const options = Object.entries(checkOptions({}));
  assert.equal(options.length, 8);
  for (const [name, value] of options) {
    const row = read("README.md").split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
    assert.ok(row, `README.md has no row for ${name}`);
    const types = read("index.d.ts");
    assert.match(types, new RegExp(`^  ${name}\\?: `, "m"));
    if (typeof value === "number") {
      const shown = value % 2 ** 20 === 0 ? `${value / 2 ** 20} MiB` : value.toLocaleString("en");
      assert.ok(row.includes(`| ${shown} |`), `${name} is ${shown}`);
      const described = types.slice(0, types.indexOf(`  ${name}?: `)).slice(-700);
      assert.ok(described.includes(`Default: ${shown}.`), `index.d.ts: ${name} is ${shown}`);
    }
  }
});

test("what is exported stands in the types", () => {
  const types = read("index.d.ts");
  assert.deepEqual(Object.keys(client).sort(), ["SendError", "connect"]);
  assert.match(types, /^export class SendError /m);
  assert.match(types, /^export function connect\(/m);
});
