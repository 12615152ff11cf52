// Elements out of data. Text stays text: nothing here, or anywhere else, makes markup of it.

/** An element with properties, attributes and children: `el('td', { class: 'num' }, '12')`. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Sets the text of an element, where it differs: what did not change stays selected. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of `parent` those of `items`, in their order. Those that are there already under
 * the same key stay, and with them the focus; `make` makes one, `update` fills it.
 */
export function reconcile(parent, items, key, make, update) {
  const known = new Map();
  for (const child of parent.children) known.set(child.dataset.key, child);
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let child = known.get(name);
    if (child) known.delete(name);
    else {
      child = make(item);
      child.dataset.key = name;
    }
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
    update(child, item);
  }
  for (const gone of known.values()) gone.remove();
}

/** A button that copies a text. */
export function copyButton(text, what) {
  const button = el('button', { type: 'button', class: 'copy', 'aria-label': `Copy ${what}` }, 'Copy');
  button.addEventListener('click', async (event) => {
    event.stopPropagation();
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
    } catch {
      // Without a secure context there is no clipboard: the text is selected instead.
      const holder = button.parentElement?.querySelector('code');
      if (holder) getSelection().selectAllChildren(holder);
      button.textContent = 'Selected';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
  return button;
}

/** A text in a box, with a button that copies it. */
export function copyable(text, what) {
  return el('span', { class: 'copyable' }, el('code', {}, text), copyButton(text, what));
}

/** A pill that names a state; its colour is the state's. */
export function pill(state, text = state) {
  return el('span', { class: `pill is-${state}` }, el('i', { 'aria-hidden': 'true' }), text);
}
