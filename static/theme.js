// The theme is changed without leaving the page; without this script the server does it, and comes back.

const form = document.getElementById("theme");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  wear(event.submitter);
  form.hidePopover();
  fetch(form.action, { method: "POST", body: new FormData(form, event.submitter), redirect: "manual" });
});

function wear(button) {
  document.documentElement.dataset.theme = button.value;
  for (const each of form.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
}
