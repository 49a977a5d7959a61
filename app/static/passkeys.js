// Passkeys: what a browser is asked and what it answers, and why there are none on this page.

import { text } from "./texts.js";

const party = document.querySelector("meta[name=relying-party]"); // absent where the service has no passkeys
const home = party?.dataset.origins.split(" ");

export const ticketLastsMs = Number(party?.dataset.ticketTtl) * 1000;

/** Why no passkey can be used on this page, as parts of a sentence; null where one can. */
export function whyNot() {
  if (!party) return [text("There are no passkeys here.")];
  if (!home.includes(location.origin)) {
    const page = home.find((origin) => origin.startsWith("http")); // the others are apps
    if (!page) return [text("Passkeys work in our app, not on this page.")];
    const link = document.createElement("a");
    link.href = page + location.pathname + location.search;
    link.textContent = new URL(page).host;
    return [text("Passkeys do not work at this address. Open this page there:"), " ", link];
  }
  if (!window.PublicKeyCredential) {
    return [text("This browser knows no passkeys. Update it or use another one; your password works in all of them.")];
  }
  return null;
}

/** Why a browser gave no passkey, in a sentence. Whoever cancels knows it. */
export function whyFailed({ name }) {
  if (name === "NotAllowedError" || name === "AbortError") return text("No passkey was used.");
  if (name === "InvalidStateError") return text("This device has a passkey of your account already.");
  return text("This device could not do that with a passkey.");
}

/** Tells whether the browser can offer passkeys while a form is filled in. */
export async function canOffer() {
  return !whyNot() && (await PublicKeyCredential.isConditionalMediationAvailable?.()) === true;
}

/** Asks for a passkey, as the server's text says; gives the answer as a text for the server. */
export async function usePasskey(asked, signal) {
  const { publicKey, mediation } = JSON.parse(asked);
  const options = {
    ...publicKey,
    challenge: bytes(publicKey.challenge),
    allowCredentials: described(publicKey.allowCredentials),
  };
  return written(await navigator.credentials.get({ publicKey: options, mediation, signal }));
}

/** Makes a passkey, as the server's text says; gives the answer as a text for the server. */
export async function makePasskey(asked) {
  const { publicKey } = JSON.parse(asked);
  const options = {
    ...publicKey,
    challenge: bytes(publicKey.challenge),
    user: { ...publicKey.user, id: bytes(publicKey.user.id) },
    excludeCredentials: described(publicKey.excludeCredentials),
  };
  return written(await navigator.credentials.create({ publicKey: options }));
}

const base64url = (raw) => btoa(raw).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

// PublicKeyCredential has functions for JSON. Not every browser does, and password managers answer with objects that
// have no toJSON, so they are not used.

const bytes = (raw) => Uint8Array.from(atob(raw.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const described = (list = []) => list.map((one) => ({ ...one, id: bytes(one.id) }));
const encoded = (buffer) => base64url(String.fromCharCode(...new Uint8Array(buffer)));

function written(credential) {
  const { response } = credential;
  const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
  const present = parts.filter((name) => response[name]);
  return JSON.stringify({
    id: credential.id,
    rawId: encoded(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: {
      ...Object.fromEntries(present.map((name) => [name, encoded(response[name])])),
      transports: response.getTransports?.(),
    },
  });
}
