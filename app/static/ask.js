// The question that some calls of the API are answered with: the password, a code or a passkey.

import { INVALID_TICKET, MFA_REQUIRED, WRONG_ANSWER, call, problem } from "./calls.js";
import { text } from "./texts.js";

const QUESTIONS = {
  webauthn: {
    title: (what) => text("Use Your Passkey to {what}", { what }), label: "",
    hint: text("Your device asks for your finger, your face or its PIN."),
    go: text("Use a passkey"), other: text("Use a passkey instead"),
  },
  password: {
    title: (what) => text("Enter Password to {what}", { what }), label: text("Password"), hint: "",
    type: "password", autocomplete: "current-password",
  },
  totp: {
    title: (what) => text("Enter Auth Code to {what}", { what }), label: text("Auth code"),
    hint: text("Six digits from your authenticator app."), type: "text",
    autocomplete: "one-time-code", inputmode: "numeric", other: text("Use an auth code instead"),
  },
  backup: {
    title: (what) => text("Enter Backup Code to {what}", { what }), label: text("Backup code"),
    hint: text("Each of them works once."), type: "text",
    autocomplete: "off", inputmode: "text", other: text("Use a backup code instead"),
  },
};

/**
 * Sends what needs a proof; asks for the password, a code or a passkey where the server does, and sends it again.
 * Gives the answer, or null where the question was left unanswered.
 *
 * what   what it is asked for, as in "Log Out Session", in the language of the page
 * go     what the button says
 */
export async function prove(send, what, go = text("Continue")) {
  const answer = await send();
  if (answer.body.code !== MFA_REQUIRED) return answer;
  const question = new Question(send, what, go);
  await question.take(answer.body.mfa);
  question.pose(question.methods[0]);
  return question.ask();
}

const dialog = document.getElementById("ask");
const part = (name) => document.getElementById(`ask-${name}`);

class Question {
  constructor(send, what, go) {
    this.send = send;
    this.sent = null; // the answer, once it is under way: what is closed then is not undone
    this.what = what;
    this.go = go;
    this.passkeys = null;
  }

  /** Takes a challenge. What passkeys need is loaded if it offers them: most people have none. */
  async take(mfa) {
    this.challenge = mfa.methods.find((method) => method.type === "webauthn")?.challenge;
    if (this.challenge) this.passkeys ??= await import("./passkeys.js").catch(() => null);
    const can = (method) => method.type in QUESTIONS && (method.type !== "webauthn" || this.passkeys?.whyNot() === null);
    this.ticket = mfa.ticket;
    this.methods = mfa.methods.filter(can).map((method) => method.type);
  }

  pose(method = "webauthn") {
    const question = QUESTIONS[method];
    const input = part("answer");
    const isTyped = method !== "webauthn";
    this.method = method;
    part("title").textContent = question.title(this.what);
    part("label").textContent = question.label;
    part("hint").textContent = question.hint;
    part("label").hidden = input.hidden = input.disabled = !isTyped;
    input.type = question.type ?? "text";
    input.autocomplete = question.autocomplete ?? "off";
    input.inputMode = question.inputmode ?? "text";
    input.className = method === "password" ? "" : "code";
    input.value = "";
    part("go").textContent = question.go ?? this.go;
    part("go").disabled = this.methods.length === 0;
    part("others").replaceChildren(...this.methods.filter((type) => type !== method).map((type) => this.switchTo(type)));
    this.say(...(this.methods.length ? [] : this.passkeys?.whyNot() ?? [text("Log in again, please.")]));
  }

  switchTo(method) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "link" });
    button.textContent = QUESTIONS[method].other;
    button.dataset.method = method;
    return button;
  }

  say(...words) {
    const input = part("answer");
    part("problem").replaceChildren(...words);
    if (words.length) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    this.focus();
  }

  focus() {
    if (part("answer").hidden) {
      part("go").focus();
    } else {
      part("answer").focus();
      part("answer").select();
    }
  }

  ask() {
    return new Promise((resolve) => {
      const done = new AbortController();
      const on = (target, event, act) => target.addEventListener(event, act, { signal: done.signal });
      let isBusy = false;
      this.closed = done.signal;
      this.isOpen = () => dialog.open && !done.signal.aborted;
      on(dialog.querySelector(".cancel"), "click", () => dialog.close());
      on(part("others"), "click", ({ target }) => target.dataset.method && !isBusy && this.pose(target.dataset.method));
      on(dialog.querySelector("form"), "submit", async (event) => {
        event.preventDefault();
        if (isBusy || !this.methods.length) return;
        isBusy = true;
        const isDone = await this.answer().finally(() => (isBusy = false));
        if (isDone && this.isOpen()) dialog.close();
      });
      on(dialog, "close", () => {
        done.abort();
        part("answer").value = "";
        resolve(this.sent);
      });
      dialog.showModal();
      this.focus();
    });
  }

  /** What is answered; null where the browser gave no passkey. */
  async read() {
    if (this.method !== "webauthn") return part("answer").value;
    try {
      return await this.passkeys.usePasskey(this.challenge, this.closed);
    } catch (failure) {
      if (this.isOpen()) this.say(this.passkeys.whyFailed(failure));
      return null;
    }
  }

  /** Gives whether what was asked for is settled. Once the dialog is closed nothing more is sent, and nothing said. */
  async answer() {
    const data = await this.read();
    if (data === null || !this.isOpen()) return !this.isOpen();
    const finished = await call("POST", "/api/v9/mfa/finish", { ticket: this.ticket, mfa_type: this.method, data });
    if (!this.isOpen()) return true;
    const why = STALE[finished.body.errors?.mfa_type ? "mfa_type" : finished.body.code];
    if (finished.status !== 200 && !why) {
      const wrong = this.method === "webauthn" ? WRONG_PASSKEY : WRONG_CODE;
      this.say(finished.body.message === WRONG_ANSWER ? wrong : problem(finished));
      return false;
    }
    let isAskedAgain = false;
    this.sent = this.send().then(async (answer) => {
      isAskedAgain = answer.body.code === MFA_REQUIRED;
      if (isAskedAgain) await this.take(answer.body.mfa);
      return isAskedAgain ? null : answer;
    });
    await this.sent;
    if (!isAskedAgain || !this.isOpen()) return true;
    this.sent = null;
    if (!this.methods.includes(this.method)) this.pose(this.methods[0]);
    this.say(why ?? STALE[INVALID_TICKET]);
    return false;
  }
}

/** Why a challenge is of no use any more: a fresh one is fetched. */
const STALE = {
  [INVALID_TICKET]: text("That took too long, or too many tries. Please answer once more."),
  mfa_type: text("How you log in was changed meanwhile. Please answer this instead."),
};

const WRONG_CODE = text("That code is wrong or was used already. Try the next one.");
const WRONG_PASSKEY = text("That passkey was not accepted. Try again, or answer in another way.");
