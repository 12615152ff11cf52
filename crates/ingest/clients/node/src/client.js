import { encode } from "./event.js";

/** What callers hold: a sender, and the name under which it sends. */
export class Client {
  #sender;
  #name;

  constructor(sender, name) {
    this.#sender = sender;
    this.#name = name;
  }

  s3(event) {
    let encoded;
    try {
      encoded = encode(event, this.#name);
    } catch (error) {
      return this.#sender.refuse(error);
    }
    return this.#sender.send(encoded);
  }

  event(name) {
    if (typeof name !== "string") {
      throw new TypeError("the name of an event is not a string: give it as in event(\"order-1001\")");
    }
    return new Client(this.#sender, name);
  }

  ready() {
    return this.#sender.ready();
  }

  flush() {
    return this.#sender.flush();
  }

  close() {
    return this.#sender.close();
  }
}
