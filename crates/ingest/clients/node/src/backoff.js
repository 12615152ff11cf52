const FIRST_MS = 100;
const LONGEST_MS = 10_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * How long to wait before the next try, in ms: twice as long after each one, up to 10 s, of which the
 * second half is left to chance, so that clients that failed together don't come back together. Never
 * shorter than the service asked for.
 *
 * @param {number} tries how many have failed, from 1
 * @param {number} retryAfter what the service asked for, in ms, or 0
 * @param {number} random from 0 to 1
 */
export function backoff(tries, retryAfter, random) {
  const half = Math.min(FIRST_MS * 2 ** (tries - 1), LONGEST_MS) / 2;
  return Math.min(Math.max(half, retryAfter) + half * random, LONGEST_TIMER_MS);
}

/** The header `Retry-After` (RFC 9110, 10.2.3) in ms; 0 where there is none that can be read. */
export function retryAfter(header, now) {
  if (header === undefined) {
    return 0;
  }
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return wait > 0 ? wait : 0;
}
