// A client of minutelog. What is promised stands in index.d.ts, how it is used in README.md.
//
// The way of an event: event.js makes it a text, queue.js holds it, sender.js puts it into a batch
// (batch.js), post.js sends that, verdict.js says what the answer means, and sending.js tells the
// caller, or reporter.js whoever asked to be told when nobody waits.

import { Client } from "./client.js";
import { checkOptions, checkUrl } from "./options.js";
import { Sender } from "./sender.js";

export { SendError } from "./error.js";

export function connect(url, options = {}) {
  return new Client(new Sender(checkUrl(url), checkOptions(options)));
}
