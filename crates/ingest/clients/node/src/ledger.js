import { Fifo } from "./fifo.js";
import { Pending } from "./pending.js";

/**
 * Every event that has no outcome yet, in the order of the calls, which is that of their deadlines.
 * While there is one, a timer keeps the process from ending; then nothing does.
 */
export class Ledger {
  #timeout;
  #expired;
  #pendings = new Fifo();
  #count = 0;
  #calls = 0;
  #timer;
  #flushes = [];

  /** `expired` is called with each event that has no outcome after `timeout` ms, and settles it. */
  constructor(timeout, expired) {
    this.#timeout = timeout;
    this.#expired = expired;
  }

  get isEmpty() {
    return this.#count === 0;
  }

  open(event) {
    this.#calls += 1;
    const pending = new Pending(event, this.#calls, performance.now() + this.#timeout);
    this.#pendings.push(pending);
    this.#count += 1;
    this.#timer ??= setTimeout(() => this.#expire(), this.#timeout);
    return pending;
  }

  /** To be called once for each that is settled. */
  settled() {
    this.#count -= 1;
    const first = this.#first();
    while (this.#flushes.length > 0 && !(first?.serial <= this.#flushes[0].serial)) {
      this.#flushes.shift().resolve();
    }
    if (this.isEmpty) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
  }

  /** Resolves when all that are open now are settled. */
  flush() {
    return this.isEmpty
      ? Promise.resolve()
      : new Promise((resolve) => this.#flushes.push({ serial: this.#calls, resolve }));
  }

  #first() {
    this.#pendings.skip(({ settled }) => settled);
    return this.#pendings.peek();
  }

  #expire() {
    const now = performance.now();
    // Timers know whole ms: what was called for within one expires together.
    for (let first = this.#first(); first !== undefined && first.deadline < now + 1; first = this.#first()) {
      this.#expired(first);
    }
    const first = this.#first();
    this.#timer = first && setTimeout(() => this.#expire(), first.deadline - now);
  }

  *[Symbol.iterator]() {
    for (const pending of this.#pendings) {
      if (!pending.settled) {
        yield pending;
      }
    }
  }
}
