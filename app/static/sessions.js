// The Devices page: ends sessions without leaving it, renames them, and keeps up to date.

import { call, leave, problem } from "./calls.js";
import { prove } from "./ask.js";
import { counted, locale, text } from "./texts.js";

const said = document.getElementById("said");

const KINDS = {
  "#desktop": text("Desktop"), "#phone": text("Phone"), "#tablet": text("Tablet"), "#browser": text("Browser"),
};

const label = (part, words) => part.setAttribute("aria-label", words);
const ticked = () => [...document.querySelectorAll(".pick input:checked")];

let fading;

/** Tells a result, for some seconds or until the next thing is done. */
function say(words) {
  clearTimeout(fading);
  said.textContent = words;
  if (words) fading = setTimeout(say, 8000, "");
}

/** Adds what the rows come without: exact times in the reader's own zone, labels that name the device, the pencil. */
function dress() {
  for (const time of document.querySelectorAll("time")) {
    time.title = new Date(time.dateTime).toLocaleString(locale, { dateStyle: "long", timeStyle: "short" });
  }
  for (const time of document.querySelectorAll(".until")) {
    const at = new Date(time.dateTime);
    const isNear = at - Date.now() < 24 * 60 * 60 * 1000;
    time.textContent = at.toLocaleString(document.documentElement.lang, isNear
      ? { timeStyle: "short" } : { dateStyle: "long", timeStyle: "short" });
  }
  for (const row of document.querySelectorAll(".row")) {
    const [box, button] = [row.querySelector("input"), row.querySelector(".end")];
    const id = (row.dataset.id ??= box.value);
    const called = row.querySelector("h3 bdi");
    const kind = row.querySelector(".kind");
    const pencil = Object.assign(document.createElement("button"), { type: "button", className: "icon rename" });
    kind.setAttribute("role", "img");
    label(kind, KINDS[kind.firstElementChild.getAttribute("href")] ?? text("Unknown kind"));
    called.after(Object.assign(pencil, { id: `rename-${id}`, title: text("Rename") }));
    label(pencil, text("Rename {name}", { name: called.textContent }));
    if (!box) continue;
    box.id = `pick-${id}`;
    box.removeAttribute("aria-labelledby");
    label(box, text("Select {name}", { name: called.textContent }));
    button.id = `end-${id}`;
    button.title = text("Log Out of Session");
    label(button, text("Log Out of Session: {name}", { name: called.textContent }));
  }
  count();
}

/** The label that counts what is ticked. */
function count() {
  const selected = document.getElementById("selected");
  if (!selected) return;
  const number = ticked().length;
  selected.textContent = counted("Log Out {count} Session", "Log Out {count} Sessions", number);
  document.getElementById("count").textContent = number ? text("{count} selected", { count: number }) : "";
}

/** Takes the list from the server again; what is ticked and what has the focus stay so. */
async function refresh() {
  let response;
  try {
    response = await fetch("/settings/sessions", { redirect: "manual" });
  } catch {
    return;
  }
  if (response.type === "opaqueredirect") await leave();
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const before = document.getElementById("devices");
  const kept = ticked().map((box) => box.id);
  const focused = before.contains(document.activeElement) || document.activeElement === document.body;
  const id = document.activeElement.id;
  before.replaceWith(document.adoptNode(page.getElementById("devices")));
  dress();
  for (const box of kept) {
    const found = document.getElementById(box);
    if (found) found.checked = true;
  }
  count();
  if (focused && id) (document.getElementById(id) ?? document.getElementById("others")).focus();
}

async function end(asked, button) {
  const what = counted("Log Out Session", "Log Out {count} Sessions", asked.count);
  const answer = await prove(asked.send, what, text("Log Out"));
  if (answer === null) {
    button.focus();
    return;
  }
  const isDone = answer.status === 200;
  const done = counted("{count} session is logged out.", "{count} sessions are logged out.", asked.count);
  say(isDone ? done : answer.status === 404 ? text("That was over already.") : problem(answer));
  await refresh();
}

function asked(button) {
  if (button.id === "all") {
    const count = document.querySelectorAll(".pick").length;
    return { count, send: () => call("POST", "/me/sessions/revoke-all") };
  }
  const ids = button.name === "one" ? [button.value] : ticked().map((box) => box.value);
  return { count: ids.length, send: () => call("POST", "/me/sessions/revoke", { ids }) };
}

const naming = document.getElementById("naming");
const name = document.getElementById("naming-name");
const wrongName = document.getElementById("naming-problem");

function sayOfName(words) {
  wrongName.textContent = words;
  if (words) name.setAttribute("aria-invalid", "true");
  else name.removeAttribute("aria-invalid");
}

function rename(button) {
  const row = button.closest(".row");
  const called = row.querySelector("h3 bdi").textContent;
  const madeUp = row.querySelector(".made-up")?.textContent;
  naming.dataset.id = row.dataset.id;
  name.value = madeUp === undefined ? "" : called;
  name.placeholder = madeUp ?? called;
  document.getElementById("naming-hint").textContent = text("Leave it empty for “{name}”.", { name: name.placeholder });
  sayOfName("");
  naming.showModal();
  name.select();
}

naming.addEventListener("submit", async (event) => {
  event.preventDefault();
  const chosen = name.value.trim() || null;
  const answer = await call("PATCH", `/me/sessions/${naming.dataset.id}`, { name: chosen });
  if (answer.status !== 200) {
    sayOfName(problem(answer));
    name.focus();
    return;
  }
  naming.close();
  say(chosen ? text("The device is now called “{name}”.", { name: chosen }) : text("The device has its own name no more."));
  await refresh();
});
naming.querySelector(".cancel").addEventListener("click", () => naming.close());

document.addEventListener("submit", (event) => {
  if (event.target.id !== "ending") return;
  event.preventDefault();
  if (event.submitter.name !== "none") end(asked(event.submitter), event.submitter);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest(".rename");
  if (button) rename(button);
});
document.addEventListener("change", (event) => {
  if (event.target.closest(".pick")) count();
});
for (const event of ["pointerdown", "keydown"]) {
  document.addEventListener(event, () => say(""));
}
window.addEventListener("focus", () => {
  if (!document.querySelector("dialog[open]")) refresh();
});

dress();
