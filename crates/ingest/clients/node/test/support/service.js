import { once } from "node:events";
import http from "node:http";

/**
 * A service of which the test says what it answers. Without a script it accepts everything; the id of
 * an event is then `id of` and its payload.
 */
export class Service {
  /** All that came: `{ key, headers, text, events }`. */
  requests = [];
  /** How many connections there have been. */
  connections = 0;
  #script = [];
  #arrivals = [];
  #server;

  /** @param {http.Server} server of another kind than plain HTTP, where that matters */
  static async start(server = http.createServer(), port = 0) {
    const service = new Service();
    service.#server = server;
    server.on("connection", () => (service.connections += 1));
    server.on("request", (request, response) => service.#take(request, response));
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return service;
  }

  get port() {
    return this.#server.address().port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The payloads of each request. */
  get payloads() {
    return this.requests.map(({ events }) => events.map(({ payload }) => payload));
  }

  /** What the next requests get, one after the other: each a function of the request and the response. */
  next(...answers) {
    this.#script.push(...answers);
  }

  /** Resolves when so many requests have come. */
  arrived(count) {
    return this.requests.length >= count
      ? Promise.resolve()
      : new Promise((resolve) => this.#arrivals.push({ count, resolve }));
  }

  /** As a service does with connections that nothing comes over. */
  closeIdle() {
    this.#server.closeIdleConnections();
  }

  async stop() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #take(request, response) {
    const pieces = [];
    for await (const piece of request) {
      pieces.push(piece);
    }
    const text = Buffer.concat(pieces).toString();
    const { headers, method, url } = request;
    const taken = { method, path: url, headers, key: headers["idempotency-key"], text, events: JSON.parse(text) };
    this.requests.push(taken);
    this.#arrivals = this.#arrivals.filter(({ count, resolve }) => this.requests.length < count || resolve());
    await (this.#script.shift() ?? accept)(taken, response);
  }
}

export function accept({ events }, response) {
  const ids = events.map(({ payload }) => `id of ${JSON.stringify(payload)}`);
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ accepted: ids.length, ids }));
}

/** A problem as the service tells it. */
export function problem(status, slug, { field, headers } = {}) {
  return (_, response) => {
    response.writeHead(status, { "content-type": "application/problem+json", ...headers });
    const type = `urn:minutelog:problem:${slug}`;
    response.end(JSON.stringify({ type, title: `Title of ${slug}`, status, detail: `detail of ${slug}`, field }));
  };
}

/** An answer of something else than minutelog. */
export function page(status, text = "<html>") {
  return (_, response) => response.writeHead(status).end(text);
}

/** The request was taken, and its answer is lost. */
export function lost(_, response) {
  response.destroy();
}

/** Never answers. */
export function silent() {}

/** Answers when it is told to: `held.answer` is a function of the answer to give. */
export function hold() {
  const held = (request, response) => {
    held.answer = (answer = accept) => answer(request, response);
  };
  return held;
}
