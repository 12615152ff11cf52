// The strip of minutes above every view, and the table of them.

import { byId, el, pill, reconcile, setText } from './dom.js';
import * as format from './format.js';

/** So many minutes are in the strip, and so many have a place in it before they come. */
const MOST = 120;
const PLACES = 60;

const STAGES = ['open', 'finished', 'sealed', 'delivered', 'parked', 'quarantined'];

const start = (minute) => Date.parse(minute.minute);
const end = (minute) => start(minute) + minute.seconds * 1000;

/** How far behind a minute is: its lag once it is delivered, until then how long it has been over. */
function lag(minute, now) {
  if (minute.stage === 'delivered') return format.span(minute.lag_ms);
  const since = now - end(minute);
  return since > 0 ? `${format.span(since)} …` : '–';
}

function describe(minute, now) {
  return `${format.clock(start(minute))}  ${minute.stage}  ·  ${minute.events === null ? 'not counted' : format.plural(minute.events, 'event')}  ·  ${format.bytes(minute.bytes)}  ·  ${minute.delivered}/${minute.destinations} delivered  ·  lag ${lag(minute, now)}`;
}

export class Minutes {
  /** `jump(time)` shows the events up to a time. */
  constructor({ jump }) {
    this.jump = jump;
    this.minutes = [];
    this.selected = null;
    this.strip = byId('strip');
    this.legend = byId('legend');
    this.body = byId('minute-rows');
    this.strip.addEventListener('keydown', (event) => {
      const to = { ArrowLeft: 'previousElementSibling', ArrowRight: 'nextElementSibling' }[event.key];
      const bar = to && event.target.closest('.minute')?.[to];
      if (bar) {
        event.preventDefault();
        event.stopPropagation();
        bar.focus();
      }
    });
    for (const name of ['mouseover', 'focusin']) {
      this.strip.addEventListener(name, (event) => {
        const bar = event.target.closest('.minute');
        const minute = bar && this.minutes.find((it) => it.minute === bar.dataset.key);
        if (minute) this.legend.replaceChildren(el('span', { class: 'readout' }, describe(minute, this.now)));
      });
    }
    for (const name of ['mouseleave', 'focusout']) this.strip.addEventListener(name, () => this.showLegend());
    this.showLegend();
    this.body.addEventListener('click', (event) => {
      const row = event.target.closest('tr');
      if (row && getSelection().isCollapsed) this.enter(row.dataset.key);
    });
  }

  showLegend() {
    this.legend.replaceChildren(...STAGES.map((stage) => el('span', { class: `key is-${stage}` }, el('i', { 'aria-hidden': 'true' }), stage)));
  }

  take(overview, now) {
    this.minutes = overview.minutes;
    this.tick(now);
  }

  tick(now) {
    this.now = now;
    this.renderStrip();
    this.render();
  }

  renderStrip() {
    const shown = this.minutes.slice(0, MOST).reverse();
    const most = Math.max(1, ...shown.map((minute) => minute.events ?? 0));
    byId('strip').parentElement.classList.toggle('nothing', shown.length === 0);
    // Places that no minute has come for yet keep the others in their width.
    const bars = [...Array.from({ length: Math.max(0, PLACES - shown.length) }, (_, place) => ({ minute: `place-${place}`, isPlace: true })), ...shown];
    reconcile(this.strip, bars, (minute) => minute.minute,
      (minute) => minute.isPlace ? el('span', { class: 'place', 'aria-hidden': 'true' }) : el('button', { type: 'button', class: 'minute', onclick: () => this.jump(end(minute) - 1000) }, el('i')),
      (bar, minute) => {
        if (minute.isPlace) return;
        bar.className = `minute is-${minute.stage}`;
        bar.tabIndex = minute === shown.at(-1) ? 0 : -1;
        bar.setAttribute('aria-label', describe(minute, this.now));
        // The square root keeps a quiet minute in sight beside a busy one.
        bar.firstChild.style.height = `${Math.max(6, Math.round(100 * Math.sqrt((minute.events ?? most) / most)))}%`;
      });
    setText(byId('strip-from'), shown.length > 1 ? `since ${format.clock(start(shown[0]))}` : '');
    setText(byId('strip-to'), shown.length > 0 ? format.clock(start(shown.at(-1))) : '');
  }

  render() {
    reconcile(this.body, this.minutes, (minute) => minute.minute,
      () => el('tr', { tabindex: '-1' }, el('td', { class: 'time' }), el('td', { class: 'state' }), el('td', { class: 'num' }), el('td', { class: 'num' }), el('td', { class: 'num' }), el('td', { class: 'num' }), el('td', { class: 'why' })),
      (tr, minute) => {
        const [time, state, events, bytes, dest, behind, why] = tr.children;
        setText(time, `${format.day(start(minute))} ${format.clock(start(minute))}`);
        if (state.textContent !== minute.stage) state.replaceChildren(pill(minute.stage));
        setText(events, format.count(minute.events));
        events.dataset.label = 'events';
        setText(bytes, format.bytes(minute.bytes));
        setText(dest, `${format.count(minute.delivered)}/${format.count(minute.destinations)}`);
        dest.dataset.label = 'delivered';
        setText(behind, lag(minute, this.now));
        behind.dataset.label = 'lag';
        setText(why, minute.error ?? '');
        why.title = minute.error ?? '';
        tr.setAttribute('aria-selected', minute.minute === this.selected);
      });
    byId('minute-tail').replaceChildren(this.minutes.length > 0
      ? el('p', { class: 'muted' }, 'The latest 120 minutes, and all older ones that are not delivered. Enter shows the events of one.')
      : el('div', { class: 'empty' }, el('h2', {}, 'No minutes yet'), el('p', {}, 'A minute begins with its first event.')));
  }

  move(by) {
    const at = this.minutes.findIndex((minute) => minute.minute === this.selected);
    const to = at < 0 ? 0 : Math.min(this.minutes.length - 1, Math.max(0, at + by));
    this.selected = this.minutes[to]?.minute ?? null;
    for (const tr of this.body.children) {
      const isIt = tr.dataset.key === this.selected;
      tr.setAttribute('aria-selected', isIt);
      if (isIt) {
        tr.focus({ preventScroll: true });
        tr.scrollIntoView({ block: 'nearest' });
      }
    }
  }

  enter(key = this.selected) {
    const minute = this.minutes.find((it) => it.minute === key);
    if (minute) this.jump(end(minute) - 1000);
  }
}
