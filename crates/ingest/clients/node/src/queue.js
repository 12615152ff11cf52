import { Fifo } from "./fifo.js";

/**
 * Events that wait to be sent, in the order of the calls.
 *
 * Those within the bounds, which hold for what is under way as well, are in the queue; the others
 * stand in a line before it, and come in as events are settled. The first one is always let in.
 */
export class Queue {
  #queue = new Fifo();
  #line = new Fifo();
  #maxEvents;
  #maxBytes;
  #events = 0;
  #bytes = 0;
  #waiting = [];

  constructor(maxEvents, maxBytes) {
    this.#maxEvents = maxEvents;
    this.#maxBytes = maxBytes;
  }

  push(pending) {
    this.#line.push(pending);
    this.#admit();
  }

  /** The next events for one request: in order, all with an id of their own or all without. */
  take(maxEvents, maxBytes) {
    const taken = [];
    let bytes = 2; // the brackets
    for (let next = first(this.#queue); next !== undefined && taken.length < maxEvents; next = first(this.#queue)) {
      bytes += next.event.bytes + 1;
      if (taken.length > 0 && (bytes > maxBytes || next.event.hasId !== taken[0].event.hasId)) {
        break;
      }
      taken.push(this.#queue.shift());
    }
    return taken;
  }

  /** Makes room; to be called once for each event that is settled. */
  settled(pending) {
    if (pending.admitted) {
      this.#events -= 1;
      this.#bytes -= pending.event.bytes;
      this.#admit();
    }
  }

  /** Resolves when a call would not have to stand in line. */
  room() {
    return this.#hasRoom() ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }

  #admit() {
    for (let next = first(this.#line); next !== undefined && this.#fits(next); next = first(this.#line)) {
      this.#line.shift();
      next.admitted = true;
      this.#events += 1;
      this.#bytes += next.event.bytes;
      this.#queue.push(next);
    }
    if (this.#waiting.length > 0 && this.#hasRoom()) {
      this.#waiting.splice(0).forEach((resolve) => resolve());
    }
  }

  #fits(pending) {
    return (
      this.#events === 0 ||
      (this.#events < this.#maxEvents && this.#bytes + pending.event.bytes <= this.#maxBytes)
    );
  }

  #hasRoom() {
    return this.#line.length === 0 && this.#events < this.#maxEvents && this.#bytes < this.#maxBytes;
  }
}

/** Of those that still have time. */
function first(fifo) {
  fifo.skip(({ settled }) => settled);
  return fifo.peek();
}
