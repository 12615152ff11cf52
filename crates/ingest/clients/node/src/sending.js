/**
 * The promise of an event's id. It knows whether anybody waits for it: a failure that nobody waits for
 * is reported instead of ending the process as an unhandled rejection.
 */
export class Sending extends Promise {
  #watched = false;

  /** What follows from it is a plain promise, whose rejections are its maker's. */
  static get [Symbol.species]() {
    return Promise;
  }

  /** @returns {{sending: Sending, resolve: (id: string) => void, reject: (error: Error) => void}} */
  static open() {
    let resolve;
    let reject;
    const sending = new Sending((yes, no) => {
      resolve = yes;
      reject = no;
    });
    Promise.prototype.then.call(sending, undefined, () => {});
    return { sending, resolve, reject };
  }

  static isWatched(sending) {
    return sending.#watched;
  }

  /** `await`, `catch`, `finally` and `Promise.all` all come through here. */
  then(onFulfilled, onRejected) {
    this.#watched = true;
    return super.then(onFulfilled, onRejected);
  }
}
