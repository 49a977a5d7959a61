// Calls of the API by the cookie, and the question that some of them are answered with.

const MFA_REQUIRED = 60003;
const INVALID_TICKET = 60006;

const QUESTIONS = {
  password: {
    title: "Enter Password", label: "Password", hint: "", type: "password", autocomplete: "current-password",
  },
  totp: {
    title: "Enter Auth Code", label: "Auth code", hint: "Six digits from your authenticator app.", type: "text",
    autocomplete: "one-time-code", inputmode: "numeric", other: "Use an auth code instead",
  },
  backup: {
    title: "Enter Backup Code", label: "Backup code", hint: "Each of them works once.", type: "text",
    autocomplete: "off", inputmode: "text", other: "Use a backup code instead",
  },
};

/** Sends JSON; gives {status, body}. A session that is over goes to the login page, which says why. */
export async function call(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
  } catch {
    return { status: 0, body: { error: "There is no connection. Please try again." } };
  }
  const type = response.headers.get("Content-Type") ?? "";
  const answer = { status: response.status, body: type.startsWith("application/json") ? await response.json() : {} };
  return answer.status === 401 && answer.body.code !== MFA_REQUIRED ? leave() : answer;
}

/** Leads to the login page and back; nothing after it runs. */
export function leave() {
  location.assign("/login?next=" + encodeURIComponent(location.pathname));
  return new Promise(() => {});
}

/** What went wrong, in a sentence. */
export function problem({ status, body }) {
  if (status === 429) return "Too many tries. Wait a few minutes, then try again.";
  if (status >= 500) return "That did not work just now. Please try again.";
  return body.error ?? body.message ?? "That did not work.";
}

/**
 * Sends what ends sessions; asks for the password or a code where the server does, and sends it again.
 * Gives the answer, or null where the question was left unanswered.
 */
export async function prove(send, count) {
  const answer = await send();
  return answer.body.code === MFA_REQUIRED ? new Question(send, count, answer.body.mfa).ask() : answer;
}

const dialog = document.getElementById("ask");
const part = (name) => document.getElementById(`ask-${name}`);

class Question {
  constructor(send, count, mfa) {
    this.send = send;
    this.sent = null; // the answer, once it is under way: what is closed then is not undone
    this.what = count === 1 ? "Session" : `${count} Sessions`;
    this.take(mfa);
    this.pose(this.methods[0]);
  }

  take(mfa) {
    this.ticket = mfa.ticket;
    this.methods = mfa.methods.map((method) => method.type).filter((type) => type in QUESTIONS);
  }

  pose(method) {
    const question = QUESTIONS[method];
    const input = part("answer");
    this.method = method;
    part("title").textContent = `${question.title} to Log Out ${this.what}`;
    part("label").textContent = question.label;
    part("hint").textContent = question.hint;
    input.type = question.type;
    input.autocomplete = question.autocomplete;
    input.inputMode = question.inputmode ?? "text";
    input.className = method === "password" ? "" : "code";
    input.value = "";
    this.other = this.methods.find((type) => type !== method);
    part("switch").hidden = !this.other;
    part("switch").textContent = this.other ? QUESTIONS[this.other].other : "";
    this.say("");
  }

  say(text) {
    const input = part("answer");
    part("problem").textContent = text;
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    input.focus();
    input.select();
  }

  ask() {
    return new Promise((resolve) => {
      const done = new AbortController();
      const on = (target, event, act) => target.addEventListener(event, act, { signal: done.signal });
      let isBusy = false;
      this.isOpen = () => dialog.open && !done.signal.aborted;
      on(dialog.querySelector(".cancel"), "click", () => dialog.close());
      on(part("switch"), "click", () => isBusy || this.pose(this.other));
      on(dialog.querySelector("form"), "submit", async (event) => {
        event.preventDefault();
        if (isBusy) return;
        isBusy = true;
        const isDone = await this.answer(part("answer").value).finally(() => (isBusy = false));
        if (isDone && this.isOpen()) dialog.close();
      });
      on(dialog, "close", () => {
        done.abort();
        part("answer").value = "";
        resolve(this.sent);
      });
      dialog.showModal();
      part("answer").focus();
    });
  }

  /** Gives whether what was asked for is settled. Once the dialog is closed nothing more is sent, and nothing said. */
  async answer(data) {
    const finished = await call("POST", "/api/v9/mfa/finish", { ticket: this.ticket, mfa_type: this.method, data });
    if (!this.isOpen()) return true;
    const why = STALE[finished.body.errors?.mfa_type ? "mfa_type" : finished.body.code];
    if (finished.status !== 200 && !why) {
      this.say(WRONG[finished.body.message] ?? problem(finished));
      return false;
    }
    let isAskedAgain = false;
    this.sent = this.send().then((answer) => {
      isAskedAgain = answer.body.code === MFA_REQUIRED;
      if (isAskedAgain) this.take(answer.body.mfa);
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
  [INVALID_TICKET]: "That took too long, or too many tries. Please answer once more.",
  mfa_type: "How you log in was changed meanwhile. Please answer this instead.",
};

const WRONG = {
  "Invalid two-factor code": "That code is wrong or was used already. Try the next one.",
};
