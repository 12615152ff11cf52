/** First in, first out, each step in constant time. An array's own `shift` moves all that remain. */
export class Fifo {
  #items = [];
  #head = 0;

  get length() {
    return this.#items.length - this.#head;
  }

  push(item) {
    this.#items.push(item);
  }

  peek() {
    return this.#items[this.#head];
  }

  shift() {
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Takes from the front what passes the test. */
  skip(test) {
    while (this.length > 0 && test(this.peek())) {
      this.shift();
    }
  }

  *[Symbol.iterator]() {
    for (let at = this.#head; at < this.#items.length; at += 1) {
      yield this.#items[at];
    }
  }
}
