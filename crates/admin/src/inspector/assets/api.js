// What the page asks for, and the stream that tells when to ask again.

/** An answer that is none, with what the service said. */
export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Asks for a document. */
export async function ask(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== '') query.set(name, value);
  }
  const text = query.toString();
  let answer;
  try {
    answer = await fetch(`/api/${path}${text ? `?${text}` : ''}`, { signal });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure(0, 'the inspector does not answer');
  }
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Failure(answer.status, document.error ?? `status ${answer.status}`);
  return document;
}

/** Trades the token for a cookie; throws where it is the wrong one. */
export async function open(token) {
  const answer = await fetch('/api/session', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ token }),
  });
  if (!answer.ok) {
    const document = await answer.json().catch(() => ({}));
    throw new Failure(answer.status, document.error ?? 'this did not work');
  }
}

/**
 * Listens for changes, and goes on listening: `onchange()` when something has changed,
 * `onstate('live' | 'lost' | 'failed', why)`.
 */
export class Live {
  constructor(onchange, onstate) {
    this.onchange = onchange;
    this.onstate = onstate;
    this.source = null;
  }

  start() {
    this.stop();
    const source = new EventSource('/api/live');
    this.source = source;
    source.addEventListener('change', () => {
      this.onstate('live');
      this.onchange();
    });
    source.addEventListener('failure', (event) => this.onstate('failed', event.data));
    source.addEventListener('error', () => {
      this.onstate('lost');
      // A refusal ends it for good; everything else the browser tries again by itself.
      if (source.readyState === EventSource.CLOSED && this.source === source) {
        this.timer = setTimeout(() => this.start(), 3000);
      }
    });
  }

  stop() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}
