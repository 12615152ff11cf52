import { randomUUID } from "node:crypto";

/**
 * Events that travel in one request. Its key and its body never change, so that whoever gets them a
 * second time knows that they are the same; with other events it is another batch.
 */
export class Batch {
  pendings;
  /** Undefined where each event has an id of its own, which does the same. */
  key;
  /** Whether a try of it, or of what it was made of, may have been accepted although no answer told so. */
  mayBeAccepted;
  /** Whether a request with it is under way. */
  underWay = false;
  #body;
  #abandoned = new AbortController();

  constructor(pendings, mayBeAccepted = false) {
    this.pendings = pendings;
    this.key = pendings[0].event.hasId ? undefined : randomUUID();
    this.mayBeAccepted = mayBeAccepted;
    for (const pending of pendings) {
      pending.batch = this;
    }
  }

  get size() {
    return this.pendings.length;
  }

  get body() {
    this.#body ??= Buffer.from(`[${this.pendings.map(({ event }) => event.json).join(",")}]`);
    return this.#body;
  }

  /** Aborted when none of its events has time left. */
  get abandoned() {
    return this.#abandoned.signal;
  }

  /** To be called when one of its events has run out of time. */
  expired() {
    if (this.pendings.every(({ settled }) => settled)) {
      this.#abandoned.abort();
    }
  }

  /**
   * What to send next: itself, or the rest of it where events ran out of time, or undefined. One that
   * may have been accepted stays whole, as another body would be another request.
   */
  living() {
    const living = this.pendings.filter(({ settled }) => !settled);
    if (living.length === 0) {
      return undefined;
    }
    return this.mayBeAccepted || living.length === this.size ? this : new Batch(living);
  }

  /** Batches of these groups of its events, for as far as they have time left. */
  split(...groups) {
    return groups
      .map((group) => group.filter(({ settled }) => !settled))
      .filter((group) => group.length > 0)
      .map((group) => new Batch(group, this.mayBeAccepted));
  }

  halves() {
    const middle = Math.ceil(this.size / 2);
    return this.split(this.pendings.slice(0, middle), this.pendings.slice(middle));
  }
}
