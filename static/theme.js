// The theme is changed without leaving the page; without this script the server does it, and comes back.

const form = document.getElementById("theme");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  wear(event.submitter);
  form.querySelector("[role=alert]")?.remove();
  if (await kept(new FormData(form, event.submitter))) form.hidePopover();
  else told("Worn on this page, but not kept for the next one: the desk did not take it. Choose it again later.");
});

/** Whether the desk took the choice: it then leads back to the page, which nobody follows. */
async function kept(choice) {
  const answer = await fetch(form.action, { method: "POST", body: choice, redirect: "manual" }).catch(() => null);
  return answer?.type === "opaqueredirect";
}

function told(sentence) {
  const note = Object.assign(document.createElement("p"), { role: "alert", textContent: sentence });
  form.append(note);
}

function wear(button) {
  document.documentElement.dataset.theme = button.value;
  for (const each of form.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
}
