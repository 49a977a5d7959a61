// An application whose users sign in with OpenID Connect, and its provider, which serves what the test says. Each line of
// the input is JSON with what is to be done. The first argument is the file of the private key that signs ID tokens.
const crypto = require("crypto");
const fs = require("fs");
const express = require("express");
const { auth } = require("express-openid-connect");

const key = crypto.createPrivateKey(fs.readFileSync(process.argv[2]));
const cookies = {};  // of each browser, by name
let issuer, url, jwks;

const listen = (app) => new Promise((done) => {
  const server = app.listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${server.address().port}`));
  server.unref();
});

function idToken(kid, claims) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const signed = `${encode({ alg: "RS256", kid })}.${encode(claims)}`;
  return `${signed}.${crypto.sign("RSA-SHA256", Buffer.from(signed), key).toString("base64url")}`;
}

async function ask(browser, path, options = {}) {
  const jar = (cookies[browser] ??= {});
  const cookie = Object.entries(jar).map(([name, value]) => `${name}=${value}`).join("; ");
  const answer = await fetch(url + path, { redirect: "manual", ...options, headers: { ...options.headers, cookie } });
  for (const line of answer.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    value ? (jar[name] = value) : delete jar[name];
  }
  return answer;
}

const acts = {
  async start() {
    const provider = express();
    provider.get("/.well-known/openid-configuration", (_, answer) => answer.json({
      issuer,
      jwks_uri: `${issuer}jwks`,
      authorization_endpoint: `${issuer}authorize`,
      response_types_supported: ["id_token"],
      response_modes_supported: ["form_post"],
      id_token_signing_alg_values_supported: ["RS256"],
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
    }));
    provider.get("/jwks", (_, answer) => answer.json(jwks));
    issuer = `${await listen(provider)}/`;
    const application = express();
    const later = {};
    application.use((request, answer, next) => later.handler(request, answer, next));
    url = await listen(application);
    const noted = new Map();
    const store = {
      get: (id, done) => done(null, noted.get(id)),
      set: (id, note, done) => (noted.set(id, note), done(null)),
      destroy: (id, done) => (noted.delete(id), done(null)),
    };
    const router = express.Router();
    router.use(auth({
      issuerBaseURL: issuer,
      baseURL: url,
      clientID: "chat",
      secret: "a secret for tests that is long enough",
      authRequired: false,
      backchannelLogout: { store },
    }));
    router.get("/", (request, answer) => answer.json({ user: request.oidc.isAuthenticated() ? request.oidc.user.sub : null }));
    later.handler = router;
    return { issuer, url };
  },
  async keys(question) {
    jwks = question.jwks;
    return {};
  },
  async "sign in"({ browser, sid, kid }) {
    const asked = new URL((await ask(browser, "/login")).headers.get("location")).searchParams;
    const now = Math.floor(Date.now() / 1000);
    const token = idToken(kid, { iss: issuer, aud: "chat", sub: "7", sid, nonce: asked.get("nonce"), iat: now, exp: now + 60 });
    const body = new URLSearchParams({ state: asked.get("state"), id_token: token });
    return { status: (await ask(browser, "/callback", { method: "POST", body })).status };
  },
  async look({ browser }) {
    return (await ask(browser, "/")).json();
  },
};

let last = Promise.resolve();
require("readline").createInterface({ input: process.stdin })
  .on("line", (line) => {
    const question = JSON.parse(line);
    last = last.then(() => acts[question.do](question)).catch((error) => ({ error: String(error) }))
      .then((answer) => console.log(JSON.stringify(answer)));
  })
  .on("close", () => process.exit());
