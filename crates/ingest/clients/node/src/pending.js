import { Sending } from "./sending.js";

/** An event on its way, from the call to its outcome. */
export class Pending {
  event;
  sending;
  /** Its place among all calls. */
  serial;
  /** On the clock of `performance.now()`. */
  deadline;
  settled = false;
  /** Whether it is within the bounds of the queue, and no longer in the line before it. */
  admitted = false;
  /** The batch that it is in, if it is in one. */
  batch;
  #resolve;
  #reject;

  constructor(event, serial, deadline) {
    this.event = event;
    this.serial = serial;
    this.deadline = deadline;
    ({ sending: this.sending, resolve: this.#resolve, reject: this.#reject } = Sending.open());
  }

  accepted(id) {
    this.settled = true;
    this.#resolve(id);
  }

  failed(error) {
    this.settled = true;
    this.#reject(error);
  }

  /** The error as this event's caller gets it. */
  own(error) {
    const unknown = this.batch !== undefined && (this.batch.mayBeAccepted || this.batch.underWay);
    return error.of(this.event.json, unknown ? "unknown" : "not-accepted");
  }
}
