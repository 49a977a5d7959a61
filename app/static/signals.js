// Tells the browser which passkeys the account has and what it is called, so that none is offered that is gone.

const rpId = document.querySelector("meta[name=relying-party]").content;
const { content, dataset } = document.querySelector("meta[name=passkeys-of]");
const userId = btoa(content).replaceAll("=", ""); // digits have no other sign that base64url writes in another way
const allAcceptedCredentialIds = dataset.ids.split(" ").filter(Boolean);

/** Tells the browser something of our passkeys. Some do not listen, and none does at another address. */
export async function signal(what, options) {
  try {
    await window.PublicKeyCredential?.[what]?.({ rpId, ...options });
  } catch {
    // What the browser shows is out of date, and nothing else.
  }
}

signal("signalAllAcceptedCredentials", { userId, allAcceptedCredentialIds });
signal("signalCurrentUserDetails", { userId, name: dataset.name, displayName: dataset.displayName });
