// What the page shows of each file, and of all together.

import { signInBeside } from "../signed-out.js";

const DONE = ["read", "refused"];

export class Progress {
  constructor(section) {
    this.section = section;
    this.list = section.querySelector(".uploads");
    this.tally = section.querySelector("#tally");
    this.bar = section.querySelector("#overall");
    this.rows = [];
  }

  addRow(file) {
    const row = new Row(file, this);
    this.rows.push(row);
    this.list.append(row.element);
    this.section.hidden = false;
    this.showTally();
    return row;
  }

  showTally() {
    const count = (state) => this.rows.filter((row) => row.state === state).length;
    const left = this.rows.filter((row) => !DONE.includes(row.state)).length;
    const told = `${count("read")} read, ${count("refused")} refused` + (left ? `, ${left} to go` : "");
    if (this.tally.textContent !== told) this.tally.textContent = told; // read aloud when it changes, and only then
    this.bar.hidden = !left;
    this.bar.value = this.rows.reduce((sum, row) => sum + row.share, 0) / this.rows.length;
  }
}

class Row {
  constructor(file, progress) {
    this.progress = progress;
    this.state = "waiting";
    this.share = 0; // of the file that was sent
    this.element = document.getElementById("upload-row").content.firstElementChild.cloneNode(true);
    this.bar = this.element.querySelector("progress");
    this.outcome = this.element.querySelector("p");
    this.element.querySelector("strong").textContent = file.name;
    this.bar.setAttribute("aria-label", `Upload of ${file.name}`);
    this.tell = this.tell.bind(this);
    this.offerAnother = this.offerAnother.bind(this);
  }

  /** How much was sent, or what is being waited for. */
  tell(share, sentence) {
    this.share = share ?? this.share;
    this.bar.value = this.share;
    this.outcome.textContent = sentence ?? (share < 1 ? `Sending, ${Math.round(100 * share)} %` : "Reading");
    this.progress.showTally();
  }

  /** One film takes this row; those of a ZIP file each get one of their own, in its place. */
  finish({ films, refused }) {
    if (films.length + refused.length === 1) {
      if (films.length) this.#showFilm(films[0]);
      else this.refuse(refused[0].error);
      return;
    }
    const rows = [...films, ...refused].map((file) => new Row(file, this.progress));
    films.forEach((film, index) => rows[index].#showFilm(film));
    refused.forEach((file, index) => rows[films.length + index].refuse(file.error));
    this.element.replaceWith(...rows.map((row) => row.element));
    this.progress.rows.splice(this.progress.rows.indexOf(this), 1, ...rows);
  }

  refuse(sentence) {
    this.#end("refused", "problem");
    this.outcome.textContent = sentence;
  }

  offerRetry(sentence, again) {
    this.#offer(again, `${sentence} `);
  }

  /** The file stays here while somebody signs in beside this page. */
  offerSignIn(address, again) {
    this.#offer(again, ...signInBeside(address));
  }

  /** Whatever the desk answers meanwhile takes the offer's place. */
  offerAnother(again) {
    this.#offer(again, "The desk has the file and does not answer. It may still be reading. ");
  }

  #offer(again, ...said) {
    this.element.className = "problem";
    this.bar.hidden = true;
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Try again" });
    button.addEventListener("click", () => {
      this.element.className = "";
      this.bar.hidden = false;
      this.tell(0, "Waiting");
      again();
    });
    this.outcome.replaceChildren(...said, button);
  }

  #showFilm(film) {
    const read = film.state === "read";
    this.#end(read ? "read" : "refused", read ? "done" : "problem");
    const picture = Object.assign(new Image(48, 48), { src: `${film.links.page}/thumbnail.jpg`, alt: "" });
    this.element.querySelector(".thumbnail").replaceChildren(picture);
    const link = Object.assign(document.createElement("a"), {
      href: film.links.page,
      textContent: read ? "See the reading" : "See the film",
    });
    this.outcome.replaceChildren(`${film.verdict ?? film.error ?? `The film is ${film.state}.`} `, link);
  }

  #end(state, className) {
    this.state = state;
    this.share = 1;
    this.element.className = className;
    this.bar.remove();
  }
}
