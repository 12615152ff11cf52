// What `connect` takes. What is unknown, of a wrong type or impossible is refused, nothing is corrected.

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Numbers: their defaults, and the largest that is possible. */
const NUMBERS = {
  timeout: [120_000, LONGEST_TIMER_MS],
  requestTimeout: [30_000, LONGEST_TIMER_MS],
  maxQueuedEvents: [50_000, Number.MAX_SAFE_INTEGER],
  maxQueuedBytes: [64 * 2 ** 20, Number.MAX_SAFE_INTEGER],
  maxRequestBytes: [2 ** 20, Number.MAX_SAFE_INTEGER],
};

const OTHERS = ["token", "onError", "tls"];
const TLS = ["ca", "cert", "key", "passphrase"];

/** The address of the service, checked. */
export function checkUrl(url) {
  let parsed;
  try {
    parsed = new URL(url);
  } catch (cause) {
    throw new TypeError(`the address ${shown(url)} is no URL: give one as in "http://127.0.0.1:9600"`, { cause });
  }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new TypeError(`the address ${shown(url)} is neither http nor https`);
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new TypeError("the address has a user or a password: give the token as an option");
  }
  if (parsed.search !== "" || parsed.hash !== "") {
    throw new TypeError(`the address ${shown(url)} has a query or a fragment: leave it out`);
  }
  return parsed;
}

/** The options, checked, with defaults in the place of those that are left out. */
export function checkOptions(options) {
  checkNames(options, [...Object.keys(NUMBERS), ...OTHERS], "the options");
  const { token, onError, tls = {} } = options;
  if (token !== undefined && !(typeof token === "string" && /^[\x21-\x7e]+$/.test(token))) {
    throw new TypeError("the option `token` is not a token: give the text that `minutelog admin token` printed");
  }
  if (onError !== undefined && typeof onError !== "function") {
    throw new TypeError("the option `onError` is not a function");
  }
  checkNames(tls, TLS, "the option `tls`");
  const checked = { token, onError, tls };
  for (const [name, [otherwise, largest]] of Object.entries(NUMBERS)) {
    const value = options[name] ?? otherwise;
    if (!Number.isSafeInteger(value) || value < 1 || value > largest) {
      throw new RangeError(`the option \`${name}\` is ${shown(value)}: give a whole number from 1 to ${largest}`);
    }
    checked[name] = value;
  }
  return checked;
}

function checkNames(object, known, what) {
  if (object === null || typeof object !== "object" || Array.isArray(object)) {
    throw new TypeError(`${what} are not an object`);
  }
  for (const name of Object.keys(object)) {
    if (!known.includes(name)) {
      throw new TypeError(`${what} have no \`${name}\`: there are ${known.join(", ")}`);
    }
  }
}

function shown(value) {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 200)) : String(value);
}
