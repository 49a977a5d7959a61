// The second step of a login or a reset: a passkey as the answer, in a form of its own.

import { usePasskey, whyFailed, whyNot } from "./passkeys.js";

const form = document.getElementById("passkey");
const button = form.querySelector("button");
const said = document.getElementById("passkey-said");
const answer = form.elements.code;
const tick = document.getElementById("remember"); // in the other form, if there is one
const why = whyNot();

let isBusy = false;

async function ask() {
  if (isBusy) return;
  isBusy = true;
  said.textContent = "";
  try {
    answer.value = await usePasskey(form.dataset.challenge);
    if (tick && tick.form !== form) form.elements.remember.checked = tick.checked;
    form.requestSubmit(); // comes back here with the answer, and is sent
  } catch (failure) {
    said.textContent = whyFailed(failure);
  } finally {
    isBusy = false;
  }
}

form.hidden = false;
if (why) {
  button.hidden = true;
  said.replaceChildren(...why);
  document.getElementById("code")?.focus();
} else {
  form.addEventListener("submit", (event) => {
    if (answer.value) return;
    event.preventDefault();
    ask();
  });
  addEventListener("pageshow", () => (answer.value = "")); // what a browser kept of an earlier try
  button.focus();
}
