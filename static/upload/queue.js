// The films that wait to be sent, a few at a time.

import { Replaced, SignedOut } from "../signed-out.js";
import { Lost, newKey, send } from "./send.js";

const AT_ONCE = 2; // the desk reads two films at a time

export class Queue {
  constructor(form, progress) {
    this.form = form;
    this.progress = progress;
    this.largest = Number(form.dataset.largest);
    this.largestZip = Number(form.dataset.largestZip);
    this.waiting = [];
    this.stranded = 0; // films that wait for a person: to try again, or to sign in
    this.sending = 0;
    this.paused = false; // until somebody has looked: the session ended, or is another one
    this.single = ""; // address of the film, where one was chosen alone
  }

  get unsent() {
    return this.waiting.length + this.sending + this.stranded;
  }

  /** Each file for the task that is chosen now, with a key of its own. */
  add(files, task) {
    for (const file of files) this.waiting.push({ file, task, key: newKey(), row: this.progress.addRow(file) });
    this.#next();
  }

  #next() {
    while (!this.paused && this.sending < AT_ONCE && this.waiting.length) {
      this.sending += 1;
      this.#sendOne(this.waiting.shift()).finally(() => {
        this.sending -= 1;
        this.progress.showTally();
        this.#leave();
        this.#next();
      });
    }
  }

  async #sendOne(item) {
    const { file, task, key, row } = item;
    try {
      await this.#validate(file);
      const outcome = await send(this.form.action, this.#fields(file, task), key, row.tell, row.offerAnother);
      row.finish(outcome);
      this.single = outcome.films[0]?.links.page ?? "";
    } catch (problem) {
      if ([Lost, SignedOut, Replaced].some((kind) => problem instanceof kind)) this.#strand(item, problem);
      else row.refuse(problem.message);
    }
  }

  #strand(item, problem) {
    this.stranded += 1;
    this.paused ||= !(problem instanceof Lost);
    const again = () => this.#again(item);
    if (problem instanceof SignedOut) item.row.offerSignIn(problem.address, again);
    else item.row.offerRetry(problem.message, again);
  }

  #again(item) {
    this.stranded -= 1;
    this.paused = false;
    this.waiting.unshift(item);
    this.#next();
  }

  /** A film that was chosen alone is looked at once it is read. */
  #leave() {
    if (this.single && this.progress.rows.length === 1 && !this.unsent) location.assign(this.single);
  }

  /** What the desk would refuse anyway need not be sent. */
  async #validate(file) {
    const most = (await isZip(file)) ? this.largestZip : this.largest;
    if (file.size > most) {
      throw new Error(`The file is larger than ${Math.round(most / 2 ** 20)} MiB; export the film in less space.`);
    }
  }

  #fields(file, task) {
    const fields = new FormData();
    fields.set("csrf_token", this.form.elements.csrf_token.value);
    if (task) fields.set("task", task);
    fields.set("film", file);
    return fields;
  }
}

/** By its first bytes, as the desk decides it; a file that cannot be read is none. */
async function isZip(file) {
  const begins = await file.slice(0, 2).text().catch(() => "");
  return begins === "PK";
}
