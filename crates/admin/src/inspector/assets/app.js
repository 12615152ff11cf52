// The page: its views, the keyboard, and what keeps it live.

import { Live, ask, open as openSession } from './api.js';
import { Destinations } from './destinations.js';
import { Detail } from './detail.js';
import { byId, el, setText } from './dom.js';
import { Events } from './events.js';
import * as format from './format.js';
import { Minutes } from './minutes.js';

const VIEWS = ['events', 'minutes', 'destinations'];

let view = 'events';
let overview = null;
let paused = false;
let pending = false;
let refreshing = false;
let failure = null;
let lookedAt = null;
let skew = -Infinity;

function show(name) {
  location.hash = name;
  // At once: what follows focuses something in the view.
  route();
}

const detail = new Detail({ closed: () => events.select(events.selected) });
const events = new Events({
  open: (id) => detail.open(id),
  failed: (error) => told(error),
  services: () => overview?.services,
});
const minutes = new Minutes({
  jump: (time) => {
    show('events');
    events.jump(time);
  },
});
const destinations = new Destinations({
  show: (text) => {
    show('events');
    byId('destination').value = text;
    events.restart();
  },
});
const lists = { events, minutes, destinations };

/** Shows what went wrong, or that nothing does any more. */
function told(error) {
  if (error?.status === 401) return login();
  failure = error;
  return notices();
}

function notices() {
  const notes = [];
  const note = (kind, title, text, command) => notes.push(el('div', { class: `notice ${kind}` }, el('strong', {}, title), ' ', text, command ? el('code', {}, command) : null));
  if (failure) note('bad', 'This could not be read.', failure.message);
  const services = overview?.services;
  if (services?.flusher === 'stopped') note('warn', 'The flusher does not run.', 'Finished minutes wait on disk, and nothing is lost. ', 'minutelog flusher');
  if (services?.flusher === 'silent') note('bad', 'The flusher does not answer.', services.flusher_error ?? '');
  if (services?.ingest === 'silent') note('bad', 'Ingest does not answer.', services.ingest_error ?? '');
  if (services?.ingest === 'stopped') note('warn', 'Ingest does not run.', 'No events are taken. ', 'minutelog ingest');
  for (const warning of overview?.warnings ?? []) note('warn', 'Not all of it could be read.', warning);
  const text = notes.map((it) => it.textContent).join('\n');
  const place = byId('notices');
  if (place.dataset.text !== text) {
    place.dataset.text = text;
    place.replaceChildren(...notes);
  }
}

function service(id, state, title) {
  const element = byId(id);
  element.className = `service is-${state}`;
  element.title = title;
}

function takeOverview(next) {
  overview = next;
  const { services } = overview;
  service('ingest-state', services.ingest, `ingest is ${services.ingest}`);
  service('flusher-state', services.flusher, `the flusher is ${services.flusher}`);
  // An answer may be some seconds old; none is from the future.
  skew = Math.max(skew, Date.parse(overview.now) - Date.now());
  minutes.take(overview, Date.now() + skew);
  destinations.take(overview);
}

/** What is late grows later while nothing changes. */
setInterval(() => {
  if (overview && !paused && !document.hidden) minutes.tick(Date.now() + skew);
}, 5000);

/** Reads again what is shown; one time at a time, and once more if something changed meanwhile. */
async function refresh() {
  if (paused || document.hidden) {
    pending = true;
    return;
  }
  if (refreshing) {
    pending = true;
    return;
  }
  refreshing = true;
  pending = false;
  try {
    takeOverview(await ask('overview'));
    failure = null;
    notices();
    await Promise.all([view === 'events' ? events.refresh() : null, detail.refresh()]);
    lookedAt = Date.now();
  } catch (error) {
    told(error);
  }
  refreshing = false;
  if (pending) setTimeout(refresh, 250);
}

const live = new Live(refresh, (state, why) => {
  byId('live').dataset.state = state;
  if (state === 'failed') told(new Error(why));
  liveText();
});

function liveText() {
  const button = byId('live');
  const state = paused ? 'paused' : button.dataset.state;
  button.className = `live is-${state}`;
  button.setAttribute('aria-pressed', String(!paused));
  setText(button.lastElementChild, { live: 'Live', paused: 'Paused', lost: 'Reconnecting', failed: 'Failing' }[state] ?? 'Connecting');
  button.title = `${paused ? 'Go on' : 'Pause'} (space)${lookedAt ? `, last change seen ${format.clock(lookedAt)} UTC` : ''}`;
}

function pause() {
  paused = !paused;
  liveText();
  if (!paused && pending) refresh();
}

function route() {
  const name = location.hash.slice(1);
  const next = VIEWS.includes(name) ? name : 'events';
  if (next !== view) scrollTo({ top: 0 });
  view = next;
  for (const other of VIEWS) {
    byId(`view-${other}`).hidden = other !== view;
    document.querySelector(`[data-view=${other}]`).setAttribute('aria-current', other === view ? 'page' : 'false');
  }
  document.title = `${view === 'events' ? '' : `${view[0].toUpperCase()}${view.slice(1)} · `}minutelog inspector`;
  if (view !== 'events') detail.close();
  if (overview) refresh();
}

function login() {
  live.stop();
  const dialog = byId('login');
  if (!dialog.open) dialog.showModal();
}

byId('login-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  setText(byId('login-wrong'), '');
  try {
    await openSession(byId('token').value);
    byId('token').value = '';
    byId('login').close();
    begin();
  } catch (error) {
    setText(byId('login-wrong'), error.message);
  }
});
// Nothing is to be seen without it.
byId('login').addEventListener('cancel', (event) => event.preventDefault());

byId('live').addEventListener('click', pause);
byId('help-button').addEventListener('click', () => byId('help').showModal());
document.addEventListener('visibilitychange', () => {
  // A browser has six connections to one address: a page that nobody sees takes none of them.
  if (document.hidden) live.stop();
  else if (!byId('login').open) live.start();
});
addEventListener('hashchange', route);

function step(by) {
  const id = lists[view].move(by);
  if (view === 'events' && detail.isOpen() && id) detail.open(id, false);
}

const keys = {
  j: () => step(1),
  ArrowDown: () => step(1),
  k: () => step(-1),
  ArrowUp: () => step(-1),
  Enter: () => lists[view].enter(),
  '/': () => {
    show('events');
    byId('q').focus();
    byId('q').select();
  },
  1: () => show('events'),
  2: () => show('minutes'),
  3: () => show('destinations'),
  g: () => {
    events.clear();
    scrollTo({ top: 0 });
  },
  ' ': pause,
  '?': () => byId('help').showModal(),
};

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const { target } = event;
  const isTyping = target.matches('input, textarea, select');
  if (event.key === 'Escape') {
    if (isTyping) {
      if (target.value) {
        target.value = '';
        events.restart();
      }
      target.blur();
    } else if (detail.isOpen()) detail.close();
    else if (events.isFiltered()) events.clear();
    return;
  }
  if (isTyping) {
    if (event.key === 'ArrowDown' && target.type === 'search') {
      event.preventDefault();
      step(1);
    }
    return;
  }
  // A button and a link have their own Enter and space; a box that scrolls its own arrows.
  if (target.matches('button, a, pre') && ['Enter', ' ', 'ArrowDown', 'ArrowUp'].includes(event.key)) return;
  const act = keys[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

async function begin() {
  liveText();
  try {
    takeOverview(await ask('overview'));
    notices();
  } catch (error) {
    told(error);
    if (error.status === 401) return;
  }
  await events.restart();
  live.start();
}

if (matchMedia('(pointer: coarse)').matches) {
  // There are no keys, and little room.
  byId('q').placeholder = 'Search';
  byId('until').placeholder = '14:03';
}
route();
begin();
