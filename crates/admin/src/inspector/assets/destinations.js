// The destinations: how each does, what went there, and why it does not.

import { byId, el, pill, reconcile, setText } from './dom.js';
import * as format from './format.js';

export class Destinations {
  /** `show(text)` shows the events to a destination. */
  constructor({ show }) {
    this.show = show;
    this.rows = [];
    this.selected = null;
    this.body = byId('destination-rows');
    this.body.addEventListener('click', (event) => {
      const row = event.target.closest('tr');
      if (row && getSelection().isCollapsed) this.show(row.dataset.key);
    });
  }

  take(overview) {
    this.rows = overview.destinations;
    this.overview = overview;
    this.render();
  }

  nextTry(row) {
    const { failing, services } = this.overview;
    if (row.state !== 'parked' && row.state !== 'failing') return '';
    if (services.flusher !== 'running') return 'tried once the flusher runs';
    const of = failing.filter((it) => it.bucket === row.bucket && (it.prefix === null || it.prefix === row.prefix));
    if (of.length === 0) return 'tried soon';
    const next = of.map((it) => Date.parse(it.next_try)).reduce((a, b) => Math.max(a, b));
    const failures = of.map((it) => it.failures).reduce((a, b) => Math.max(a, b));
    return `${failures > 1 ? `${format.count(failures)} tries have failed, ` : ''}next try ${format.clock(next)}`;
  }

  render() {
    reconcile(this.body, this.rows, format.destination,
      () => el('tr', { tabindex: '-1' }, el('td', { class: 'where' }, el('strong'), el('span', { class: 'error' })), el('td', { class: 'state' }), el('td', { class: 'num' }), el('td', { class: 'num' }), el('td', { class: 'num' }), el('td', { class: 'num' }), el('td', { class: 'last' })),
      (tr, row) => {
        const [where, state, events, bytes, objects, lag, last] = tr.children;
        setText(where.firstChild, format.destination(row));
        const isWell = row.state === 'delivered' || row.state === 'sending';
        const next = this.nextTry(row);
        setText(where.lastChild, isWell || !row.error ? '' : `${row.error}${next ? ` — ${next}` : ''}`);
        if (state.textContent !== row.state) state.replaceChildren(pill(row.state));
        setText(events, format.count(row.events));
        events.dataset.label = 'events';
        setText(bytes, format.bytes(row.bytes));
        setText(objects, `${format.count(row.delivered)}/${format.count(row.objects)}`);
        objects.dataset.label = 'objects';
        setText(lag, format.span(row.lag_ms));
        lag.dataset.label = 'lag';
        setText(last, row.delivered_at ? `${format.day(row.delivered_at)} ${format.clock(row.delivered_at)}` : 'never');
        tr.setAttribute('aria-selected', format.destination(row) === this.selected);
      });
    const { since, destinations_total: total } = this.overview;
    byId('destination-tail').replaceChildren(this.rows.length > 0
      ? el('p', { class: 'muted' }, `${format.plural(total, 'destination')}${total > this.rows.length ? `, ${format.count(this.rows.length)} of them shown` : ''}, summed since ${format.moment(since)}, from the seal on. Those that ask for somebody come first.`)
      : el('div', { class: 'empty' }, el('h2', {}, 'No destinations yet'), el('p', {}, 'A destination is known here once its first minute is sealed.')));
  }

  move(by) {
    const at = this.rows.findIndex((row) => format.destination(row) === this.selected);
    const to = at < 0 ? 0 : Math.min(this.rows.length - 1, Math.max(0, at + by));
    this.selected = this.rows[to] ? format.destination(this.rows[to]) : null;
    for (const tr of this.body.children) {
      const isIt = tr.dataset.key === this.selected;
      tr.setAttribute('aria-selected', isIt);
      if (isIt) {
        tr.focus({ preventScroll: true });
        tr.scrollIntoView({ block: 'nearest' });
      }
    }
  }

  enter() {
    if (this.selected) this.show(this.selected);
  }
}
