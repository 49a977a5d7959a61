// The passkeys on the Security page: added, renamed, removed.

import { call, problem } from "./calls.js";
import { prove } from "./ask.js";
import { makePasskey, whyFailed, whyNot } from "./passkeys.js";
import { signal } from "./signals.js";
import { text } from "./texts.js";

const API = "/api/v9/users/@me/mfa/webauthn/credentials";

const said = document.getElementById("passkeys-said");
const adding = document.getElementById("adding"); // the form of a passkey that was made
const add = document.getElementById("add-passkey");
const naming = document.getElementById("naming");
const name = document.getElementById("naming-name");
const removing = document.getElementById("removing");

const say = (...parts) => said.replaceChildren(...parts);
const done = (what) => location.assign(`/settings/security?done=${what}`);

/** Asks in a dialog; gives whether it was answered with its button, and not cancelled. */
function confirmed(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}

/** Asks for a name; gives null where none is given. */
async function askForName(title, go, proposed) {
  document.getElementById("naming-title").textContent = title;
  document.getElementById("naming-go").textContent = go;
  name.value = proposed;
  const answer = confirmed(naming);
  name.select();
  return (await answer) ? name.value.trim() : null;
}

async function addPasskey() {
  const chosen = await askForName(text("Add a Passkey"), text("Continue"), add.dataset.name);
  if (chosen === null) return;
  const begun = await prove(() => call("POST", API, {}), add.dataset.prove);
  if (begun === null) return;
  if (begun.status !== 200) {
    say(problem(begun));
    return;
  }
  try {
    adding.elements.credential.value = await makePasskey(begun.body.challenge);
  } catch (failure) {
    say(failure.name === "NotAllowedError" ? text("No passkey was made.") : whyFailed(failure));
    return;
  }
  adding.elements.name.value = chosen;
  adding.elements.ticket.value = begun.body.ticket;
  adding.requestSubmit();
}

async function renamePasskey(row) {
  const called = row.querySelector("bdi").textContent;
  const chosen = await askForName(text("Rename Passkey"), text("Save"), called);
  if (chosen === null || chosen === called) return;
  const answer = await prove(() => call("PATCH", `${API}/${row.dataset.id}`, { name: chosen }), text("Rename “{name}”", { name: called }));
  if (answer === null) return;
  if (answer.status === 200) done("passkey-renamed");
  else say(answer.status === 404 ? text("That passkey was removed already.") : problem(answer));
}

async function removePasskey(row) {
  const called = row.querySelector("bdi").textContent;
  document.getElementById("removing-title").textContent = text("Remove “{name}”?", { name: called });
  if (!(await confirmed(removing))) return;
  const answer = await prove(() => call("DELETE", `${API}/${row.dataset.id}`), text("Remove “{name}”", { name: called }));
  if (answer === null) return;
  if (answer.status !== 204 && answer.status !== 404) {
    say(problem(answer));
    return;
  }
  await signal("signalUnknownCredential", { credentialId: row.dataset.credentialId });
  done("passkey-removed");
}

/** Does one thing at a time; then the focus is on the button again. */
async function act(button, what) {
  button.disabled = true;
  say();
  await what();
  button.disabled = false;
  button.focus();
}

document.getElementById("passkeys").addEventListener("click", ({ target }) => {
  const row = target.closest("li");
  if (target.matches(".rename")) act(target, () => renamePasskey(row));
  if (target.matches(".remove")) act(target, () => removePasskey(row));
});
for (const dialog of [naming, removing]) {
  dialog.querySelector(".cancel").addEventListener("click", () => dialog.close());
}
const why = whyNot();
if (add && why) {
  add.hidden = true;
  say(...why);
} else {
  add?.addEventListener("click", () => act(add, addPasskey));
}
