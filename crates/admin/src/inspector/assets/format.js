// Numbers, sizes and times as people read them. All times are UTC.

const two = (number) => String(number).padStart(2, '0');
const three = (number) => String(number).padStart(3, '0');
const integer = new Intl.NumberFormat('en-US');

export const count = (number) => (number === null || number === undefined ? '–' : integer.format(number));

export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? '' : 's'}`;

/** Bytes, with three digits at most: `817 B`, `12.4 KiB`. */
export function bytes(number) {
  if (number === null || number === undefined) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = number;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A span of time: `240 ms`, `3.4 s`, `12 min`, `5 h`. */
export function span(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${two(Math.floor(ms / 1000) % 60)} s`;
  if (ms < 172_800_000) return `${Math.floor(ms / 3_600_000)} h ${two(Math.floor(ms / 60_000) % 60)} min`;
  return `${Math.floor(ms / 86_400_000)} d`;
}

/** `14:03:21`, or with `.250` behind it. */
export function clock(time, withMillis = false) {
  const at = new Date(time);
  const text = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
  return withMillis ? `${text}.${three(at.getUTCMilliseconds())}` : text;
}

/** `2026-11-22`. */
export const day = (time) => new Date(time).toISOString().slice(0, 10);

/** `2026-11-22 14:03:21 UTC`. */
export const moment = (time) => `${day(time)} ${clock(time)} UTC`;

/**
 * The end of the minute or the second that a text names, as `14:03`, `14:03:21`, `2026-11-22 14:03`:
 * milliseconds since 1970; `undefined` where it names none. A time alone is the latest before `now`.
 */
export function parse(text, now) {
  const found = text.match(/^(?:(\d{4}-\d\d-\d\d)[ T])?(\d\d:\d\d)(:\d\d)?(?:\.\d+)?Z?$/);
  if (!found) return undefined;
  const [, date, minute, second] = found;
  const at = Date.parse(`${date ?? day(now)}T${minute}${second ?? ':00'}Z`);
  if (Number.isNaN(at)) return undefined;
  const end = at + (second ? 1000 : 60_000);
  return !date && at > now ? end - 86_400_000 : end;
}

/** The name of a destination. */
export const destination = ({ bucket, prefix }) => `${bucket}/${prefix ? `${prefix}/` : ''}`;

/** JSON with a line a member, its numbers and escapes as they were sent; anything else as it is. */
export function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let out = '';
  let depth = 0;
  const line = () => `\n${'  '.repeat(depth)}`;
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
  const tokens = text.match(token) ?? [];
  for (let at = 0; at < tokens.length; at += 1) {
    const it = tokens[at];
    const closes = tokens[at + 1] === '}' || tokens[at + 1] === ']';
    if (it === '{' || it === '[') {
      if (closes) {
        out += it + tokens[at + 1];
        at += 1;
      } else {
        depth += 1;
        out += it + line();
      }
    } else if (it === '}' || it === ']') {
      depth -= 1;
      out += line() + it;
    } else if (it === ',') out += it + line();
    else if (it === ':') out += ': ';
    else out += it;
  }
  return out;
}
