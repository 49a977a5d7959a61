// A form is sent once, however often its button is clicked. Without scripts the server knows a form that comes twice.

const AGAIN_AFTER_MS = 10_000; // where the answer does not come, or was stopped
const sent = new Set();

function release(form) {
  sent.delete(form);
  for (const button of form.querySelectorAll("button")) button.disabled = false;
}

addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method === "dialog") return; // which closes its dialog, and is not sent
  if (sent.has(form)) {
    event.preventDefault();
    return;
  }
  sent.add(form);
  // Later than the browser has read the form: a disabled button is no part of it.
  setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true)));
  setTimeout(release, AGAIN_AFTER_MS, form);
});
addEventListener("pageshow", (event) => {
  if (event.persisted) [...sent].forEach(release);
});
