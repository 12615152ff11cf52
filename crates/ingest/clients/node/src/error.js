import { advice } from "./advice.js";

/**
 * Why an event was not accepted, or why nobody knows whether it was. index.d.ts says what the fields
 * mean.
 */
export class SendError extends Error {
  #json;

  constructor({ code, detail, status, problem, field, outcome = "not-accepted", json, cause }) {
    super(detail, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = status;
    this.type = problem?.type;
    this.title = problem?.title;
    this.detail = detail;
    this.field = field;
    this.outcome = outcome;
    this.advice = advice(code, status, outcome);
    this.#json = json;
  }

  get event() {
    return this.#json === undefined ? undefined : JSON.parse(this.#json);
  }

  /** The same for one event. */
  of(json, outcome) {
    const { code, detail, status, type, title, field, cause } = this;
    const problem = { type, title };
    return new SendError({ code, detail, status, problem, field, outcome, json, cause });
  }
}

SendError.prototype.name = "SendError";
