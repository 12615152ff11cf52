/**
 * A client of minutelog, which keeps events in a durable log and writes one object of them per
 * destination and minute to S3.
 */

/** An event, as `s3()` takes it. Other fields are refused. */
export interface S3Event {
  /** The S3 bucket. */
  bucket: string;
  /** The prefix of the objects' keys. A trailing `/` makes no difference. Default: none. */
  prefix?: string | null;
  /**
   * Any value that `JSON.stringify` can write; it is written at the call, so that later changes change
   * nothing. `undefined`, functions, symbols, BigInts and cycles are refused. A string arrives as a
   * JSON string, in quotes.
   */
  payload: unknown;
  /** A name to find the event by, 1 to 256 bytes. Goes before that of `event(name)`. */
  event?: string | null;
  /**
   * What a repeat of the event is known by, 1 to 255 bytes: what is sent under the same `id` again,
   * also by another process, is delivered once, if it comes within the service's window (15 minutes).
   */
  id?: string | null;
}

/** What to send with. All that come from one `connect` share its queue and its connection. */
export interface Send {
  /**
   * Sends one event. Resolves to its id once it is on stable storage; the service delivers it to S3
   * after the end of the minute.
   *
   * Calls made together travel together, in the order of the calls. What fails for a reason that
   * passes is tried again, under an idempotency key, so that a repeat is no second event. Calls beyond
   * the bounds of the queue wait.
   *
   * It never throws: what is wrong with the call rejects, too. A failure that nobody waits for goes to
   * `onError`, or is a warning; it does not end the process.
   *
   * @throws {SendError} by the promise
   */
  s3(event: S3Event): Promise<string>;

  /**
   * The same under a name: what is sent to several destinations under one name is shown as one event.
   *
   * @throws {TypeError} where `name` is not a string
   */
  event(name: string): Send;

  /** Resolves when the queue has room: for loops that don't await each call. It never rejects. */
  ready(): Promise<void>;

  /**
   * Resolves when every event that was sent before is accepted or has failed. It never rejects: a
   * failure is told by the event's own promise, or as of one that nobody waits for.
   */
  flush(): Promise<void>;

  /** `flush()`, after which the connection is closed. Events that come after the call are refused. */
  close(): Promise<void>;
}

/** What `connect` takes. What is unknown, of a wrong type or impossible is refused. */
export interface Options {
  /** The token, where the service asks for one. */
  token?: string;
  /**
   * How long an event may take, in ms, from the call on: waiting, all tries, and the pauses between
   * them. Then it fails with the code `timeout`. Default: 120,000. Keep it below the service's
   * `ingest.idempotency_window`: beyond that, a repeat is another event.
   */
  timeout?: number;
  /** How long the service may take to answer one request, in ms; then it is sent again. Default: 30,000. */
  requestTimeout?: number;
  /** How many events may be in the queue and under way; calls beyond that wait. Default: 50,000. */
  maxQueuedEvents?: number;
  /** How many bytes of events, likewise, in UTF-8. Default: 64 MiB. */
  maxQueuedBytes?: number;
  /**
   * How large a request may be, in bytes; no larger than the service's `ingest.max_request_bytes`. An
   * event that is larger alone travels alone. Default: 1 MiB.
   */
  maxRequestBytes?: number;
  /**
   * Is called with each failure that nobody waits for, and with events that the end of the process
   * (`process.exit()`, an uncaught exception) leaves behind: then only what it does synchronously is
   * done. Default: a warning of the process, one for all events that failed alike.
   */
  onError?: (error: SendError) => void;
  /** For `https`: as of `tls.connect` in Node. */
  tls?: TlsOptions;
}

/** PEM texts. */
export interface TlsOptions {
  /** The authorities that are trusted, in place of those that Node knows. */
  ca?: string | Uint8Array | Array<string | Uint8Array>;
  /** The client's certificate, where the service asks for one. */
  cert?: string | Uint8Array;
  /** Its key. */
  key?: string | Uint8Array;
  /** What the key is encrypted with. */
  passphrase?: string;
}

/** Why an event was not accepted, or why nobody knows whether it was. */
export class SendError extends Error {
  private constructor();
  readonly name: "SendError";
  /**
   * The last part of the service's `type`, as in `invalid-bucket` (docs/http.md has them all), or one
   * of the client's own:
   *
   * - `invalid-event`: the call was wrong, nothing was sent
   * - `timeout`: not accepted in time; `cause` says what the last try failed with, where it did
   * - `certificate`: the service's TLS certificate, or what it speaks, is not to be trusted
   * - `unexpected-answer`: an answer that is none of minutelog's
   * - `closed`: it came after `close()`
   * - `process-exit`: the process ended before there was an answer
   * - `no-answer`: only as a `cause`: the service can't be reached, or gave no answer
   */
  readonly code: string;
  /**
   * `not-accepted`: the event is not in the log, and will not be. `unknown`: an answer was lost, and it
   * may be; it is then delivered once.
   */
  readonly outcome: "not-accepted" | "unknown";
  /** What to do about it. */
  readonly advice: string;
  /** What happened, and why. */
  readonly detail: string;
  /** The status of the last answer, where there was one. */
  readonly status: number | undefined;
  /** `type` of the service's problem document (RFC 9457), as in `urn:minutelog:problem:invalid-bucket`. */
  readonly type: string | undefined;
  /** `title` of the problem document. */
  readonly title: string | undefined;
  /** The field of the event that is wrong. */
  readonly field: string | undefined;
  /**
   * The event as it was at the call, name included: can be sent again, or kept. Absent where it could
   * not be written.
   */
  get event(): S3Event | undefined;
  readonly cause?: unknown;
}

/**
 * A client of the service at this address, as in `http://127.0.0.1:9600`. It connects with the first
 * event. While events are on their way it keeps the process from ending; then it does not.
 *
 * @throws {TypeError | RangeError} where the address or an option can't be used
 */
export function connect(url: string | URL, options?: Options): Send;
