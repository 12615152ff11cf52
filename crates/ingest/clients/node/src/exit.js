// A process that is ended with events on their way does not lose them silently.

const open = new Set();

/** `holder.exit()` is called, within the process's event `exit`, if that comes before `settled(holder)`. */
export function pending(holder) {
  if (open.size === 0) {
    process.on("exit", onExit);
  }
  open.add(holder);
}

export function settled(holder) {
  if (open.delete(holder) && open.size === 0) {
    process.off("exit", onExit);
  }
}

function onExit() {
  for (const holder of [...open]) {
    holder.exit();
  }
}
