import * as exit from "./exit.js";
import { Sending } from "./sending.js";

/** Tells of failures that nobody waits for. */
export class Reporter {
  #onError;
  #failures = [];

  constructor(onError) {
    this.#onError = onError;
  }

  /** Waits a turn first: whoever was given the promise in this one may still await it. */
  failed(sending, error) {
    if (this.#failures.push({ sending, error }) === 1) {
      exit.pending(this);
      setImmediate(() => this.#tell(this.#unwatched()));
    }
  }

  /** The process ends: who was not told yet is told at once, or never. */
  exit() {
    this.exitWith(this.#unwatched());
  }

  /** The same for these, whether somebody waits or not: nobody will hear it. */
  exitWith(errors) {
    if (this.#onError !== undefined) {
      errors.forEach((error) => this.#onError(error));
    } else {
      group(errors).forEach((alike) => {
        console.error(`minutelog: at the end of the process: ${told(alike)}: ${alike.first.advice}`);
      });
    }
  }

  #tell(errors) {
    if (this.#onError !== undefined) {
      // Each in a turn of its own: one that throws does not keep the others from being told.
      errors.forEach((error) => setImmediate(() => this.#onError(error)));
      return;
    }
    for (const alike of group(errors)) {
      const { code, advice } = alike.first;
      const detail = `${advice}. To handle it, await the call, or connect with the option onError`;
      process.emitWarning(told(alike), { type: "MinutelogWarning", code, detail });
    }
  }

  #unwatched() {
    exit.settled(this);
    const failures = this.#failures;
    this.#failures = [];
    return failures.filter(({ sending }) => !Sending.isWatched(sending)).map(({ error }) => error);
  }
}

/** What failed alike is told of once. */
function group(errors) {
  const groups = new Map();
  for (const error of errors) {
    const key = `${error.outcome} ${error.message}`;
    const known = groups.get(key);
    if (known === undefined) {
      groups.set(key, { first: error, count: 1 });
    } else {
      known.count += 1;
    }
  }
  return [...groups.values()];
}

function told({ first, count }) {
  const events = count === 1 ? "an event" : `${count} events`;
  const what = first.outcome === "unknown" ? "may not have been accepted" : "not accepted";
  return `${events} ${what}: ${first.message}`;
}
