import http from "node:http";
import https from "node:https";

import { SendError } from "./error.js";

/** Below the 75 s after which the service closes a connection, so that no request meets the closing. */
const IDLE_MS = 60_000;

/** The ids of 10,000 events have 300 kB. */
const LONGEST_ANSWER_BYTES = 4 * 2 ** 20;

/** What OpenSSL and Node say of a certificate that is not to be trusted. Trying again changes nothing. */
const CERTIFICATE = /CERT|SELF_SIGNED|^UNABLE_TO_|^ERR_TLS_|^ERR_SSL_|^HOSTNAME_MISMATCH/;

/** The connection to the service. One that is idle does not keep the process from ending. */
export class Post {
  #url;
  #headers;
  #timeout;
  #agent;
  #request;

  constructor(url, { token, requestTimeout, tls }) {
    this.#url = new URL(`${url.href.replace(/\/+$/, "")}/v1/send/s3`);
    this.#headers = { "content-type": "application/json", "user-agent": "minutelog-node" };
    if (token !== undefined) {
      this.#headers.authorization = `Bearer ${token}`;
    }
    this.#timeout = requestTimeout;
    const { Agent, request } = url.protocol === "https:" ? https : http;
    this.#agent = new Agent({ ...tls, keepAlive: true, timeout: IDLE_MS });
    this.#request = request;
  }

  /**
   * Sends a batch once; resolves to the answer, or to an outcome as of `verdict` where there was none.
   *
   * @returns {Promise<{status: number, retryAfter?: string, text: string}
   *   | {error: SendError, mayBeAccepted?: boolean, again?: number}>}
   */
  send({ body, key, abandoned }) {
    const headers = { ...this.#headers, "content-length": body.length };
    if (key !== undefined) {
      headers["idempotency-key"] = key;
    }
    return new Promise((resolve) => {
      let connected = false;
      const request = this.#request(this.#url, { method: "POST", headers, agent: this.#agent, signal: abandoned });
      const late = new Error(`no answer within ${this.#timeout} ms`);
      const timer = setTimeout(() => request.destroy(late), this.#timeout);
      const failed = (cause) => {
        clearTimeout(timer);
        resolve(noAnswer(cause, connected));
      };
      request.on("error", failed);
      request.on("socket", (socket) => {
        connected = request.reusedSocket;
        if (!connected) {
          socket.once(socket.encrypted ? "secureConnect" : "connect", () => (connected = true));
          // A service that answers before it has read all breaks off the rest, also between requests.
          socket.on("error", () => {});
        }
      });
      request.on("response", (response) => {
        read(response).then((text) => {
          clearTimeout(timer);
          if (!request.writableFinished) {
            request.destroy();
          }
          resolve({ status: response.statusCode, retryAfter: response.headers["retry-after"], text });
        }, failed);
      });
      request.end(body);
    });
  }

  close() {
    this.#agent.destroy();
  }
}

function noAnswer(cause, connected) {
  const final = !connected && CERTIFICATE.test(cause.code ?? "");
  const what = connected ? "the service gave no answer" : "the service can't be reached";
  const code = final ? "certificate" : "no-answer";
  const error = new SendError({ code, detail: `${what}: ${cause.message || cause.code}`, cause });
  return final ? { error } : { error, mayBeAccepted: connected, again: 0 };
}

async function read(response) {
  const pieces = [];
  let bytes = 0;
  for await (const piece of response) {
    bytes += piece.length;
    if (bytes > LONGEST_ANSWER_BYTES) {
      throw new Error(`the answer has more than ${LONGEST_ANSWER_BYTES} bytes`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}
