// The stream of events: pages, the search, and what changes while it is looked at.

import { ask } from './api.js';
import { byId, copyable, el, reconcile, setText } from './dom.js';
import * as format from './format.js';

const PAGE = 100;
const MOST = 500;

/** The worst that is to be said of an event. */
export function worst(row) {
  const states = row.deliveries.map((delivery) => delivery.state);
  for (const state of ['quarantined', 'parked']) if (states.includes(state)) return state;
  if (row.dest.delivered === row.dest.total) return 'delivered';
  return states.includes('sealed') ? 'sealed' : 'logged';
}

export class Events {
  /** `open(id)` shows an event; `failed(error)` tells what went wrong; `services()` what runs. */
  constructor({ open, failed, services, watching }) {
    Object.assign(this, { open, failed, services, watching });
    this.rows = [];
    this.next = null;
    this.searchedTo = null;
    this.selected = null;
    this.busy = null;
    this.fresh = new Set();
    this.hasLoaded = false;
    this.body = byId('event-rows');
    this.tail = byId('event-tail');
    this.fields = { q: byId('q'), destination: byId('destination'), until: byId('until') };
    this.listen();
  }

  listen() {
    let timer;
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.restart(), 250);
    };
    for (const field of Object.values(this.fields)) field.addEventListener('input', later);
    byId('filters').addEventListener('submit', (event) => {
      event.preventDefault();
      clearTimeout(timer);
      this.restart().then(() => this.select(this.rows[0]?.id));
    });
    byId('clear').addEventListener('click', () => this.clear());
    this.body.addEventListener('click', (event) => {
      const row = event.target.closest('tr');
      if (row && getSelection().isCollapsed) {
        this.select(row.dataset.key);
        this.open(row.dataset.key);
      }
    });
    new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.more();
    }, { rootMargin: '400px' }).observe(this.tail);
  }

  /** What is searched for. */
  filter() {
    const { q, destination, until } = this.fields;
    return {
      q: q.value.trim(),
      destination: destination.value.trim(),
      until: format.parse(until.value.trim(), Date.now()),
    };
  }

  isFiltered() {
    return Object.values(this.filter()).some((value) => value);
  }

  clear() {
    for (const field of Object.values(this.fields)) field.value = '';
    return this.restart();
  }

  /** Shows what was accepted up to a time. */
  jump(time) {
    this.fields.until.value = `${format.day(time)} ${format.clock(time)}`;
    return this.restart();
  }

  /** Begins at the first page again. */
  restart() {
    this.rows = [];
    this.next = null;
    this.searchedTo = null;
    this.hasLoaded = false;
    return this.load({ reset: true });
  }

  /** Reads the next page. */
  more() {
    if (this.next && !this.busy) return this.load({ before: this.next });
    return Promise.resolve();
  }

  /** Reads again what is shown, as something has changed. */
  refresh() {
    if (this.busy) {
      this.again = true;
      return Promise.resolve();
    }
    return this.load({ refresh: true });
  }

  async load({ before, reset, refresh }) {
    this.busy?.abort();
    const busy = new AbortController();
    this.busy = busy;
    const limit = refresh ? Math.min(MOST, Math.max(PAGE, this.rows.length)) : PAGE;
    try {
      const page = await ask('events', { ...this.filter(), before, limit }, busy.signal);
      this.take(page, { reset, refresh });
      this.failed(null);
    } catch (error) {
      if (error.name === 'AbortError') return;
      this.failed(error);
    }
    if (this.busy !== busy) return;
    this.busy = null;
    this.render();
    if (this.again) {
      this.again = false;
      this.refresh();
    } else if (this.next && this.rows.length < PAGE && !refresh) {
      // Nothing was found for a while: it goes on looking further back.
      this.more();
    }
  }

  take(page, { reset, refresh }) {
    this.fresh.clear();
    if (refresh) {
      const known = new Set(this.rows.map((row) => row.id));
      const last = page.events.at(-1)?.id;
      const older = page.next ? this.rows.filter((row) => last && row.id < last) : [];
      if (this.hasLoaded) for (const row of page.events) if (!known.has(row.id)) this.fresh.add(row.id);
      if (older.length === 0) this.next = page.next;
      this.rows = [...page.events, ...older];
    } else {
      this.rows = reset ? page.events : [...this.rows, ...page.events];
      this.next = page.next;
    }
    if (!refresh || this.rows.length <= PAGE) this.searchedTo = page.searched_to;
    this.warnings = page.warnings;
    this.hasLoaded = true;
  }

  render() {
    byId('clear').hidden = !this.isFiltered();
    const until = this.fields.until.value.trim();
    const isWrong = until !== '' && this.filter().until === undefined;
    setText(byId('until-wrong'), isWrong ? 'as 14:03 or 2026-11-22 14:03:21' : '');
    let lastDay = null;
    const days = new Map();
    for (const row of this.rows) {
      const day = format.day(row.accepted_at);
      days.set(row.id, day !== lastDay && lastDay !== null ? day : null);
      lastDay = day;
    }
    reconcile(this.body, this.rows, (row) => row.id, () => this.make(), (tr, row) => this.fill(tr, row, days.get(row.id)));
    this.renderTail();
  }

  make() {
    return el('tr', { tabindex: '-1' },
      el('td', { class: 'time' }), el('td', { class: 'name' }), el('td', { class: 'id' }, el('code')),
      el('td', { class: 'num size' }),
      el('td', { class: 'num dest' }, el('button', { type: 'button', class: 'pill', tabindex: '-1' }, el('i', { 'aria-hidden': 'true' }), el('span'))));
  }

  fill(tr, row, newDay) {
    const [time, name, id, size, dest] = tr.children;
    setText(time, (newDay ? `${newDay} ` : '') + format.clock(row.accepted_at, true));
    time.title = row.accepted_at;
    setText(name, row.event ?? '–');
    name.classList.toggle('none', !row.event);
    setText(id.firstChild, row.id);
    setText(size, row.bytes === null ? '–' : (row.bytes_are_mean && row.deliveries.length > 0 ? '≈ ' : '') + format.bytes(row.bytes));
    size.title = row.bytes_are_mean ? 'The mean of the lines of its object: sizes are known until a minute is sealed' : `${format.count(row.bytes)} bytes`;
    const state = worst(row);
    const button = dest.firstChild;
    button.className = `pill is-${state}`;
    setText(button.lastChild, `${row.dest.delivered}/${row.dest.total}`);
    button.setAttribute('aria-label', `${row.dest.delivered} of ${row.dest.total} destinations delivered, ${state}: show each`);
    const isSelected = row.id === this.selected;
    tr.setAttribute('aria-selected', isSelected);
    tr.tabIndex = isSelected || (!this.selected && row === this.rows[0]) ? 0 : -1;
    if (this.fresh.has(row.id)) tr.classList.add('fresh');
  }

  renderTail() {
    const children = [];
    for (const warning of this.warnings ?? []) children.push(el('p', { class: 'warning' }, warning));
    if (this.rows.length === 0 && this.hasLoaded && !this.next) children.push(this.empty());
    else if (this.next) {
      const to = this.searchedTo && this.isFiltered() ? `Searched back to ${format.moment(this.searchedTo)}` : '';
      children.push(el('p', { class: 'muted' }, to),
        el('button', { type: 'button', class: 'quiet', onclick: () => this.more() }, 'Older events'));
    } else if (this.hasLoaded) children.push(el('p', { class: 'muted' }, 'That is all that the log and the receipts know.'));
    this.tail.replaceChildren(...children);
  }

  empty() {
    if (this.isFiltered()) {
      return el('div', { class: 'empty' }, el('h2', {}, 'Nothing matches'),
        el('p', {}, 'No such event was accepted, its receipt has expired, or it was a repeat of another one.'),
        el('button', { type: 'button', class: 'primary', onclick: () => this.clear() }, 'Clear the search'));
    }
    const url = this.services()?.ingest_url;
    const line = `curl -sS ${url}/v1/send/s3 -H 'Content-Type: application/json' -d '{"bucket": "my-bucket", "prefix": "test/", "event": "first", "payload": {"hello": "world"}}'`;
    return el('div', { class: 'empty' }, el('h2', {}, 'No events yet'),
      el('p', {}, 'The log is empty. Send one, and it appears here at once:'),
      url ? copyable(line, 'the command') : null);
  }

  /** Selects a row, and brings it into sight. */
  select(id, focus = true) {
    if (!id) return;
    this.selected = id;
    for (const tr of this.body.children) {
      const isIt = tr.dataset.key === id;
      tr.setAttribute('aria-selected', isIt);
      tr.tabIndex = isIt ? 0 : -1;
      if (isIt && focus) {
        tr.focus({ preventScroll: true });
        tr.scrollIntoView({ block: 'nearest' });
      }
    }
  }

  /** Moves the selection; returns the id that is selected then. */
  move(by) {
    const at = this.rows.findIndex((row) => row.id === this.selected);
    const to = at < 0 ? (by > 0 ? 0 : -1) : Math.min(this.rows.length - 1, Math.max(0, at + by));
    this.select(this.rows.at(to)?.id);
    if (to >= this.rows.length - 10) this.more();
    return this.selected;
  }

  enter() {
    if (this.selected) this.open(this.selected);
  }
}
