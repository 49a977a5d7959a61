// The page of the chat. Its cookie is out of a script's reach: the gateway reads it, at each call and at the socket's
// handshake, so IDENTIFY needs no token here.

const API = "/api/v9";
const MFA_REQUIRED = 60003;
const SIGNED_OUT = [4003, 4004];
const part = (id) => document.getElementById(id);
const make = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });
const nameOf = (user) => user.global_name ?? user.username;
const say = (text) => (part("state").textContent = text);

let room, socket, beating;
let backoff = 500; // milliseconds

/** Calls the application or Keyrack. A 401 that asks for no proof says that this device is signed out. */
async function call(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const type = response.headers.get("Content-Type") ?? "";
  const answer = type.startsWith("application/json") ? await response.json() : {};
  if (response.status === 401 && answer.code !== MFA_REQUIRED) tellSignedOut();
  return { ok: response.ok, answer };
}

function tellSignedOut() {
  say("signed out");
  clearInterval(beating);
  if (!part("over").open) part("over").showModal();
}

function connect() {
  let sequence = null;
  const send = (op, d) => socket.send(JSON.stringify({ op, d }));
  socket = new WebSocket(location.origin.replace("http", "ws") + "/socket");
  socket.onmessage = ({ data }) => {
    const { op, d, s, t } = JSON.parse(data);
    sequence = s ?? sequence;
    if (op === 10) {
      beating = setInterval(() => send(1, sequence), d.heartbeat_interval);
      send(2, { properties: { browser: "chat.js" } });
    } else if (op === 0) {
      heard[t]?.(d);
    }
  };
  socket.onclose = async ({ code }) => {
    clearInterval(beating);
    if (SIGNED_OUT.includes(code)) return tellSignedOut();
    say("connecting …");
    await call("GET", API + "/users/@me").catch(() => {}); // a handshake that is refused does not say why
    if (part("over").open) return;
    setTimeout(connect, backoff);
    backoff = Math.min(2 * backoff, 10_000);
  };
}

const heard = {
  READY({ user, guilds: [guild] }) {
    backoff = 500;
    say("online");
    part("me").textContent = nameOf(user);
    part("people").replaceChildren();
    for (const member of guild.members) heard.GUILD_MEMBER_ADD(member);
    part("rooms").replaceChildren(
      ...guild.channels.map(({ id, name }) => make("button", "# " + name, { value: id, onclick: () => open(id) })),
    );
    open(room ?? guild.channels[0].id);
    listDevices();
  },
  MESSAGE_CREATE(message) {
    if (message.channel_id !== room) return;
    const item = make("li", "");
    const at = new Date(message.timestamp).toLocaleTimeString([], { timeStyle: "short" });
    item.append(make("bdi", nameOf(message.author)), make("time", at), make("p", message.content));
    part("messages").append(item);
    part("messages").scrollTop = part("messages").scrollHeight;
  },
  GUILD_MEMBER_ADD({ user }) {
    const known = [...part("people").children].find((item) => item.dataset.id === user.id);
    const item = known ?? part("people").appendChild(make("li", ""));
    item.dataset.id = user.id;
    item.replaceChildren(make("bdi", nameOf(user)));
  },
  GUILD_MEMBER_UPDATE: (member) => heard.GUILD_MEMBER_ADD(member),
  GUILD_MEMBER_REMOVE({ user }) {
    [...part("people").children].find((item) => item.dataset.id === user.id)?.remove();
  },
  AUTH_SESSION_CREATE: () => listDevices(),
  AUTH_SESSION_CHANGE: () => listDevices(),
  AUTH_SESSION_REMOVE: () => listDevices(),
};

async function open(id) {
  room = id;
  for (const button of part("rooms").children) button.ariaCurrent = String(button.value === id);
  const { ok, answer } = await call("GET", `${API}/channels/${id}/messages`);
  if (!ok || room !== id) return;
  part("messages").replaceChildren();
  answer.reverse().forEach(heard.MESSAGE_CREATE);
}

async function listDevices() {
  const { ok, answer } = await call("GET", "/me/sessions");
  if (!ok) return;
  const rows = answer.map((device) => {
    const row = make("li", "");
    row.append(make("bdi", device.deviceName + (device.isCurrent ? " (this one)" : "")));
    if (!device.isCurrent) row.append(make("button", "Sign out", { onclick: () => signOut(device.id) }));
    return row;
  });
  part("devices").replaceChildren(...rows);
}

async function signOut(id) {
  const { answer } = await call("DELETE", "/me/sessions/" + id);
  if (answer.code === MFA_REQUIRED) location.assign("/settings/sessions"); // that page asks for the password or a code
  else listDevices();
}

part("write").onsubmit = async (event) => {
  event.preventDefault();
  const { ok } = await call("POST", `${API}/channels/${room}/messages`, { content: part("content").value });
  if (ok) part("content").value = "";
};

part("leave").onclick = async () => {
  const { ok } = await call("POST", "/logout");
  if (ok) location.assign("/login?next=/chat/");
};

addEventListener("focus", listDevices);
connect();
