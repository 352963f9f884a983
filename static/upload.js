// Sends each chosen film with a request of its own, and shows its progress and what became of it.

const AT_ONCE = 2; // the desk reads two films at a time

const form = document.getElementById("upload");
const input = document.getElementById("film");
const list = document.querySelector("#progress .uploads");
const tally = document.getElementById("tally");
const largest = Number(form.dataset.largest);
const waiting = [];
const counts = { read: 0, refused: 0, total: 0 };
let sending = 0;

document.documentElement.classList.add("scripted");

function add(files) {
  for (const file of files) {
    waiting.push({ file, task: form.elements.task?.value, row: addRow(file.name) });
    counts.total += 1;
  }
  if (files.length) document.getElementById("progress").hidden = false;
  showTally();
  next();
}

function addRow(name) {
  const row = document.createElement("li");
  const title = Object.assign(document.createElement("strong"), { textContent: name });
  const bar = Object.assign(document.createElement("progress"), { max: 100, value: 0 });
  bar.setAttribute("aria-label", `Upload of ${name}`);
  const outcome = Object.assign(document.createElement("p"), { textContent: "Waiting" });
  row.append(title, bar, outcome);
  list.append(row);
  return row;
}

function next() {
  while (sending < AT_ONCE && waiting.length) {
    const { file, task, row } = waiting.shift();
    sending += 1;
    send(file, task, row)
      .then((film) => showFilm(row, film), (problem) => showProblem(row, problem.message))
      .finally(() => {
        sending -= 1;
        showTally();
        next();
      });
  }
}

/** One film to the desk, for the task chosen when it was: its summary, or an Error with the sentence that says why not. */
function send(file, task, row) {
  if (file.size > largest) {
    return Promise.reject(new Error(`The file is larger than ${Math.round(largest / 2 ** 20)} MiB; export the film in less space.`));
  }
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => showProgress(row, event));
    request.addEventListener("load", () => {
      const film = request.response?.films?.[0];
      if (film) resolve(film);
      else reject(new Error(sentence(request)));
    });
    request.addEventListener("error", () => reject(new Error("The connection was lost; choose the file again.")));
    request.send(body(file, task));
  });
}

function sentence(request) {
  const answer = request.response;
  return answer?.refused?.[0]?.error ?? answer?.error ?? `The desk answered with HTTP ${request.status}; try again.`;
}

function body(file, task) {
  const fields = new FormData();
  fields.set("csrf_token", form.elements.csrf_token.value);
  if (task) fields.set("task", task); // there is no choice where one task is served
  fields.set("film", file);
  return fields;
}

function showProgress(row, event) {
  const share = Math.round((100 * event.loaded) / event.total);
  row.querySelector("progress").value = share;
  row.querySelector("p").textContent = share < 100 ? `Sending, ${share} %` : "Reading";
}

function showFilm(row, film) {
  const read = film.state === "read";
  counts[film.state === "refused" ? "refused" : "read"] += 1;
  row.className = read ? "done" : "problem";
  row.querySelector("progress").remove();
  const link = Object.assign(document.createElement("a"), { href: film.links.page, textContent: read ? "See the reading" : "See the film" });
  row.querySelector("p").replaceChildren(`${outcome(film)} `, link);
  if (counts.total === 1) location.assign(film.links.page);
}

function outcome(film) {
  return film.state === "read" ? film.verdict : (film.error ?? `The film is ${film.state}.`);
}

function showProblem(row, sentence) {
  counts.refused += 1;
  row.className = "problem";
  row.querySelector("progress").remove();
  row.querySelector("p").textContent = sentence;
}

function showTally() {
  const left = counts.total - counts.read - counts.refused;
  tally.textContent = `${counts.read} read, ${counts.refused} refused` + (left ? `, ${left} to go` : "");
}

input.removeAttribute("required"); // the script sends as soon as files are chosen
input.addEventListener("change", () => {
  add([...input.files]);
  input.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  form.addEventListener(name, (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) form.addEventListener(name, () => form.classList.remove("over"));
form.addEventListener("drop", (event) => {
  event.preventDefault();
  add([...event.dataTransfer.files]);
});
