import { spawn } from "node:child_process";
import { once } from "node:events";

const INDEX = new URL("../../src/index.js", import.meta.url).href;

/**
 * Runs a program of its own, with `$send` and `to` at hand; resolves when it has ended. Its `stdin` is
 * there before that.
 *
 * @returns {Promise<{code: number, stdout: string, stderr: string}> & {stdin: import("node:stream").Writable}}
 */
export function run(url, program, options = "{}") {
  const source = `
    import { connect } from "${INDEX}";
    const $send = connect(${JSON.stringify(url)}, ${options});
    const to = (payload) => ({ bucket: "my-bucket", prefix: "test/", payload });
    ${program}
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], { stdio: "pipe" });
  const texts = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"]) {
    child[stream].setEncoding("utf8").on("data", (text) => (texts[stream] += text));
  }
  const ended = once(child, "close").then(([code]) => ({ code, ...texts }));
  return Object.assign(ended, { stdin: child.stdin });
}
