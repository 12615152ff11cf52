// One event: each of its destinations with what happened there, and its payload while it is in the log.

import { ask } from './api.js';
import { byId, copyable, el, pill } from './dom.js';
import * as format from './format.js';

/** A text as one word of a shell. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** What asks for somebody comes first. */
function rank({ state, error }) {
  const order = ['quarantined', 'parked', 'sealed', 'logged', 'delivered'];
  return order.indexOf(state) - (error ? 0.5 : 0);
}

function fact(name, ...value) {
  return [el('dt', {}, name), el('dd', {}, ...value)];
}

export class Detail {
  constructor({ closed }) {
    this.closed = closed;
    this.id = null;
    this.raw = false;
    this.payloads = new Map();
    this.drawer = byId('drawer');
    this.body = byId('drawer-body');
    byId('drawer-close').addEventListener('click', () => this.close());
  }

  isOpen() {
    return this.id !== null;
  }

  /** Shows an event. */
  async open(id, focus = true) {
    const isOther = this.id !== id;
    this.id = id;
    this.drawer.hidden = false;
    document.body.classList.add('has-drawer');
    if (isOther) {
      this.payloads.clear();
      this.shown = null;
      this.body.replaceChildren(el('p', { class: 'muted' }, 'Reading …'));
    }
    await this.refresh();
    if (focus) byId('drawer-title').focus({ preventScroll: true });
  }

  close() {
    if (!this.isOpen()) return;
    this.id = null;
    this.drawer.hidden = true;
    document.body.classList.remove('has-drawer');
    this.closed();
  }

  /** Reads it again, as something has changed. */
  async refresh() {
    const id = this.id;
    if (!id) return;
    try {
      const detail = await ask(`events/${id}`);
      const logged = detail.deliveries.find((delivery) => delivery.state !== 'delivered');
      const of = (logged ?? detail.deliveries[0]).id;
      const known = this.payloads.get(of);
      if (!known || (known.is === 'shown') !== Boolean(logged)) this.payloads.set(of, await ask(`events/${of}/payload`));
      if (this.id !== id) return;
      this.render(detail, this.payloads.get(of));
    } catch (error) {
      if (this.id === id && !this.shown) this.body.replaceChildren(el('p', { class: 'warning' }, error.message));
    }
  }

  render(detail, payload) {
    const text = JSON.stringify([detail, payload, this.raw]);
    // What stays the same stays selected, scrolled and focused.
    if (text === this.shown) return;
    this.shown = text;
    const { delivered, total } = detail.dest;
    this.body.replaceChildren(
      el('dl', { class: 'facts' },
        fact('Event', detail.event ? copyable(detail.event, 'the name') : el('span', { class: 'muted' }, 'without a name')),
        fact('Id', copyable(detail.id, 'the id')),
        fact('Accepted', el('time', { datetime: detail.accepted_at }, `${format.day(detail.accepted_at)} ${format.clock(detail.accepted_at, true)} UTC`)),
        fact('Delivered', `${delivered} of ${format.plural(total, 'destination')}`)),
      ...detail.warnings.map((warning) => el('p', { class: 'warning' }, warning)),
      el('h3', {}, 'Destinations'),
      el('ol', { class: 'deliveries' }, detail.deliveries
        .map((delivery, at) => ({ delivery, at }))
        .sort((a, b) => rank(a.delivery) - rank(b.delivery) || a.at - b.at)
        .map(({ delivery, at }) => this.delivery(delivery, detail.objects[at], detail.next_tries[at], detail))),
      el('h3', {}, 'Payload'),
      this.payload(payload, detail));
  }

  delivery(delivery, object, nextTry, detail) {
    const { state } = delivery;
    const facts = [];
    const add = (name, ...value) => facts.push(...fact(name, ...value));
    if (delivery.error) add(state === 'parked' ? 'Refused' : 'Last error', el('span', { class: 'error' }, delivery.error));
    if (state === 'parked' || (delivery.error && state === 'sealed')) {
      add('Next try', detail.flusher !== 'running' ? 'once the flusher runs' : nextTry ? el('time', { datetime: nextTry }, `${format.moment(nextTry)}`) : 'soon',
        state === 'parked' ? el('span', { class: 'muted' }, ', or at once by ', el('code', {}, 'minutelog admin retry')) : null);
    }
    if (delivery.key) add('Key', copyable(delivery.key, 'the key'));
    if (delivery.line) add('Line', el('span', { class: 'num' }, format.count(delivery.line), object ? el('span', { class: 'muted' }, ` of ${format.count(object.events)}`) : null));
    if (object?.etag) add('ETag', copyable(object.etag.replaceAll('"', ''), 'the ETag'));
    if (object?.checksum) add('Checksum', el('code', {}, object.checksum));
    if (object) add('Object', `${format.bytes(object.bytes)}, sealed ${format.moment(object.sealed_at)}`);
    if (object?.delivered_at) add('Delivered', format.moment(object.delivered_at));
    if (delivery.id !== detail.id) add('Id', copyable(delivery.id, 'the id'));
    if (state === 'logged') add('Waits for', 'the end of its minute, then it is sealed and sent');
    return el('li', {},
      el('div', { class: 'delivery-head' }, el('strong', {}, format.destination(delivery)), pill(state)),
      el('dl', { class: 'facts' }, facts));
  }

  payload(payload, detail) {
    if (payload.is === 'delivered') {
      const { bucket, key, line } = detail.deliveries[0];
      const command = `aws s3 cp ${quoted(`s3://${bucket}/${key}`)} - | gunzip | sed -n ${line}p`;
      return el('div', {}, el('p', { class: 'muted' }, 'Every copy is in S3, and the log has let go of it. To read it there:'), copyable(command, 'the command'));
    }
    if (payload.is === 'too_far') return el('p', { class: 'muted' }, 'It stands too far within a large object to be looked for here: ', el('code', {}, 'minutelog admin show'), ' reads it.');
    if (payload.is !== 'shown') return el('p', { class: 'muted' }, 'It cannot be read.');
    const toggle = el('button', { type: 'button', class: 'quiet', 'aria-pressed': String(this.raw), onclick: () => {
      this.raw = !this.raw;
      this.render(detail, payload);
    } }, this.raw ? 'With line breaks' : 'As it was sent');
    const text = this.raw || payload.cut ? payload.text : format.pretty(payload.text);
    return el('div', { class: 'payload' },
      el('div', { class: 'payload-head' }, el('span', { class: 'muted num' }, `${format.count(payload.bytes)} bytes${payload.cut ? ', the beginning of it' : ''}`), payload.cut ? null : toggle),
      el('pre', { tabindex: '0', id: 'payload' }, text));
  }
}
