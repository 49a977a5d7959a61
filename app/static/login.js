// The login page: a passkey in the place of e-mail address and password, offered as the form is filled in, or by a button.

import { NO_TICKET, WRONG_ANSWER, call, problem } from "./calls.js";
import { canOffer, ticketLastsMs, usePasskey, whyFailed, whyNot } from "./passkeys.js";
import { text } from "./texts.js";

const box = document.getElementById("passkey");
const button = document.getElementById("passkey-use");
const said = document.getElementById("passkey-said");
const form = box.closest("form");

let offer = null; // the request that waits until somebody chooses a passkey in the form, an AbortController
let renewAt = Infinity; // when its ticket is too old to be answered
let isBusy = false;

const say = (...parts) => said.replaceChildren(...parts);

const start = (conditional) => call("POST", "/login/passkey/start", { conditional });

function withdraw() {
  offer?.abort();
  offer = null;
  renewAt = Infinity;
}

/** Offers passkeys in the form, where the browser can. Only one such request waits at any time. */
async function makeOffer() {
  withdraw();
  const own = (offer = new AbortController());
  if (!(await canOffer())) return;
  const started = await start(true);
  if (started.status !== 200 || own.signal.aborted) return;
  renewAt = Date.now() + ticketLastsMs * 0.8;
  let answer;
  try {
    answer = await usePasskey(started.body.challenge, own.signal);
  } catch {
    return; // withdrawn, or left alone: nobody has asked for anything
  }
  await act(() => logIn(started.body.ticket, answer));
}

/** Does one thing at a time, and offers passkeys in the form again if it came to nothing. */
async function act(what) {
  if (isBusy) return;
  isBusy = button.disabled = true;
  say();
  const isDone = await what();
  if (isDone) return;
  isBusy = button.disabled = false;
  await makeOffer();
}

async function logIn(ticket, credential) {
  const ticked = (name) => Boolean(form.elements[name]?.checked);
  const body = { ticket, credential, public_computer: ticked("public_computer"), undelete: ticked("undelete") };
  const answer = await call("POST", "/login/passkey", body);
  if (answer.status === 200) {
    location.assign(form.elements.next.value);
    return true;
  }
  say(REFUSED[answer.body.error] ?? problem(answer));
  return false;
}

async function askForPasskey() {
  withdraw();
  const started = await start(false);
  if (started.status !== 200) {
    say(problem(started));
    return false;
  }
  let answer;
  try {
    answer = await usePasskey(started.body.challenge);
  } catch (failure) {
    say(whyFailed(failure));
    return false;
  }
  return logIn(started.body.ticket, answer);
}

/** A page that stood open for long has a new ticket before somebody chooses a passkey in its form. */
function renew() {
  if (!isBusy && Date.now() > renewAt) makeOffer();
}

const REFUSED = {
  [WRONG_ANSWER]: text("That passkey was not accepted. Use your password."),
  [NO_TICKET]: text("That took too long. Please try again."),
};

box.hidden = false;
const why = whyNot();
if (why) {
  button.hidden = true;
  say(...why);
} else {
  button.addEventListener("click", () => act(askForPasskey));
  document.addEventListener("visibilitychange", renew);
  for (const event of ["focus", "pointerdown", "keydown"]) addEventListener(event, renew);
  addEventListener("pagehide", withdraw);
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    isBusy = button.disabled = false;
    makeOffer();
  });
  makeOffer();
}
