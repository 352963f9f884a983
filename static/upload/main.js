// The upload page: films from wherever they come, each sent by itself, with what became of it beside its name.

import { Queue } from "./queue.js";
import { Progress } from "./progress.js";
import { watch } from "./sources.js";

const form = document.getElementById("upload");
const progress = new Progress(document.getElementById("progress"));
const queue = new Queue(form, progress);

document.documentElement.classList.add("scripted");
watch(form, (files) => queue.add(files, form.elements.task?.value)); // no choice where one task is served

form.addEventListener("submit", (event) => event.preventDefault()); // Enter on a task; films are sent as they come
addEventListener("beforeunload", (event) => {
  if (queue.unsent) event.preventDefault();
});
