import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";

import { backoff } from "./backoff.js";
import { Batch } from "./batch.js";
import { SendError } from "./error.js";
import * as exit from "./exit.js";
import { Ledger } from "./ledger.js";
import { Post } from "./post.js";
import { Queue } from "./queue.js";
import { Reporter } from "./reporter.js";
import { Sending } from "./sending.js";
import { alike, verdict } from "./verdict.js";

/** As many as the service takes with an `id` each. */
const REQUEST_EVENTS = 10_000;

/**
 * Sends events, one request at a time, so that they are accepted in the order of the calls. What is
 * called for while a request is under way travels together in the next one.
 */
export class Sender {
  #options;
  #post;
  #queue;
  #reporter;
  #ledger;
  #running = false;
  #closed = false;
  /** Why the last try is to be repeated; undefined after one that had an outcome. */
  #trouble;

  constructor(url, options) {
    this.#options = options;
    this.#post = new Post(url, options);
    this.#queue = new Queue(options.maxQueuedEvents, options.maxQueuedBytes);
    this.#reporter = new Reporter(options.onError);
    this.#ledger = new Ledger(options.timeout, (pending) => this.#expired(pending));
  }

  send(event) {
    if (this.#closed) {
      const detail = "the event came after close()";
      return this.refuse(new SendError({ code: "closed", detail, json: event.json }));
    }
    const pending = this.#ledger.open(event);
    exit.pending(this);
    this.#queue.push(pending);
    if (!this.#running) {
      this.#running = true;
      this.#run();
    }
    return pending.sending;
  }

  /** For an event that never gets under way. */
  refuse(error) {
    const { sending, reject } = Sending.open();
    reject(error);
    this.#reporter.failed(sending, error);
    return sending;
  }

  ready() {
    return this.#queue.room();
  }

  flush() {
    return this.#ledger.flush();
  }

  async close() {
    this.#closed = true;
    await this.flush();
    this.#post.close();
  }

  /** The process ends with events that have no outcome. */
  exit() {
    const detail = "the process ended before there was an answer";
    const error = new SendError({ code: "process-exit", detail });
    this.#reporter.exitWith([...this.#ledger].map((pending) => pending.own(error)));
  }

  async #run() {
    // A turn first: what is called for together travels together.
    await turn();
    for (let next = this.#take(); next.length > 0; next = this.#take()) {
      const batches = [new Batch(next)];
      while (batches.length > 0) {
        batches.unshift(...(await this.#deliver(batches.shift())));
      }
      await turn();
    }
    this.#running = false;
  }

  #take() {
    return this.#queue.take(REQUEST_EVENTS, this.#options.maxRequestBytes);
  }

  /** Sends a batch until it has an outcome, or no time left; returns what is to be sent in its place. */
  async #deliver(whole) {
    let batch = whole.living();
    for (let tries = 1; batch !== undefined; tries += 1) {
      const outcome = await this.#try(batch, tries);
      this.#trouble = outcome.again === undefined ? undefined : outcome.error;
      if (outcome.ids !== undefined) {
        batch.pendings.forEach((pending, place) => this.#accept(pending, outcome.ids[place]));
        return [];
      }
      if (outcome.again === undefined) {
        return this.#refused(batch, outcome);
      }
      const wait = backoff(tries, outcome.again, Math.random());
      await sleep(wait, undefined, { signal: batch.abandoned }).catch(() => {});
      batch = batch.living();
    }
    return [];
  }

  /** As `verdict`, also where there is no answer. */
  async #try(batch, tries) {
    batch.underWay = true;
    const answer = await this.#post.send(batch);
    batch.underWay = false;
    const outcome = answer.error === undefined ? verdict(answer, batch.size, tries, batch.mayBeAccepted) : answer;
    batch.mayBeAccepted ||= outcome.mayBeAccepted === true;
    return outcome;
  }

  /** One bad event does not take the others with it: they are sent without it. */
  #refused(batch, { halves, refused, error }) {
    if (halves) {
      return batch.halves();
    }
    const { event } = batch.pendings[refused] ?? {};
    const isRefused = (pending) => event === undefined || alike(error.code, event, pending.event);
    batch.pendings.filter(isRefused).forEach((pending) => this.#fail(pending, error));
    return batch.split(batch.pendings);
  }

  #expired(pending) {
    const trouble = this.#trouble;
    const why = trouble?.detail ?? (pending.batch ? "there was no answer" : "others were before it");
    this.#fail(
      pending,
      new SendError({
        code: "timeout",
        detail: `not accepted within ${this.#options.timeout} ms: ${why}`,
        status: trouble?.status,
        problem: trouble,
        cause: trouble,
      }),
    );
    pending.batch?.expired();
  }

  #accept(pending, id) {
    if (!pending.settled) {
      pending.accepted(id);
      this.#settled(pending);
    }
  }

  #fail(pending, error) {
    if (!pending.settled) {
      const own = pending.own(error);
      pending.failed(own);
      this.#reporter.failed(pending.sending, own);
      this.#settled(pending);
    }
  }

  #settled(pending) {
    this.#queue.settled(pending);
    this.#ledger.settled();
    if (this.#ledger.isEmpty) {
      exit.settled(this);
    }
  }
}
