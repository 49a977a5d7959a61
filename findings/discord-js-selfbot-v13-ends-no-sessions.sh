#!/usr/bin/env bash
# discord.js-selfbot-v13 3.7.1 (npm). Needs node 20.18 or later and npm.
#
# One would guess: session.logout() ends the session that it is called on, and client.sessions.logoutAllDevices() all
# that were listed: each with one POST to /auth/sessions/logout, as the API is documented. Each is a Promise<void> by
# the library's own types, so after an await the sessions are over, or an error says why not.
#
# What happens: no request is sent, and the await never comes back. The library builds a route by naming its parts, and
# sends it where the last name is a method of HTTP: auth.sessions.logout.post(...). Both functions leave ".post" out.
# What they give is a route one part longer; await asks it for "then", which the route takes for a further part, so it
# looks like a promise, and is none. Nothing is raised, nothing logged, and no timeout ends it; a program with nothing
# else to do is over at that line, with 0 as its exit code (13 where the await stands at the top of a module). The list
# itself is fetched, and client.logout(), which names "post", ends the program's own session.
#
# Seen:
#   sessions.fetch()                  GET /api/v9/auth/sessions           settled
#   session.logout()                  no request                          still waiting after 3 s
#   sessions.logoutAllDevices()       no request                          still waiting after 3 s
#   the same route, with .post()      POST /api/v9/auth/sessions/logout   settled
#   client.logout()                   POST /api/v9/auth/logout            settled
set -euo pipefail

if ! command -v node > /dev/null || ! command -v npm > /dev/null; then
    echo "node (20.18 or later) and npm are needed" >&2
    exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" discord.js-selfbot-v13@3.7.1

cat > look.js <<'JAVASCRIPT'
const assert = require("node:assert");
const http = require("node:http");
const { setTimeout: sleep } = require("node:timers/promises");
const { Client } = require("discord.js-selfbot-v13");

const WAIT_MS = 3000;
const heard = [];

const server = http.createServer((request, response) => {
  heard.push(`${request.method} ${request.url}`);
  request.resume();
  if (request.method === "GET") {
    const session = { approx_last_used_time: "2026-01-02T03:04:05+00:00", client_info: { os: "Linux" } };
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ user_sessions: ["one", "two"].map((id_hash) => ({ id_hash, ...session })) }));
  } else {
    response.statusCode = 204;
    response.end();
  }
});
// The library sends all to discord.com, whatever its "api" says, unless it has a proxy: so this server is one as well.
server.on("connect", (request, socket) => {
  socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
  server.emit("connection", socket);
});

async function look(name, call) {
  const before = heard.length;
  const settled = await Promise.race([
    (async () => (await call(), true))(),
    sleep(WAIT_MS, false),
  ]);
  const sent = heard.slice(before).join(", ");
  const end = settled ? "settled" : `still waiting after ${WAIT_MS / 1000} s`;
  console.log(`${name.padEnd(32)}  ${(sent || "no request").padEnd(34)}  ${end}`);
  return [sent, settled];
}

server.listen(0, "127.0.0.1", async () => {
  const own = `http://127.0.0.1:${server.address().port}`;
  const client = new Client({ http: { api: `${own}/api`, agent: own } });
  client.token = "a-token";
  const data = { session_id_hashes: ["one"] };

  const listed = await look("sessions.fetch()", () => client.sessions.fetch());
  assert.equal(client.sessions.cache.size, 2);
  const one = await look("session.logout()", () => client.sessions.cache.first().logout());
  const all = await look("sessions.logoutAllDevices()", () => client.sessions.logoutAllDevices());
  const posted = await look("the same route, with .post()", () => client.api.auth.sessions.logout.post({ data }));
  const mine = await look("client.logout()", () => client.logout());

  const changed = "the behaviour has changed";
  assert.deepEqual(listed, ["GET /api/v9/auth/sessions", true], changed);
  assert.deepEqual(one, ["", false], changed);
  assert.deepEqual(all, ["", false], changed);
  assert.deepEqual(posted, ["POST /api/v9/auth/sessions/logout", true], changed);
  assert.deepEqual(mine, ["POST /api/v9/auth/logout", true], changed);
  process.exit(0);
});
JAVASCRIPT
timeout 60 node look.js
