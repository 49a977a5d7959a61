// Tells the browser which passkeys the account has and what it is called, so that none is offered that is gone.

import { base64url, signal } from "./passkeys.js";

const { content, dataset } = document.querySelector("meta[name=passkeys-of]");
const userId = base64url(content);
const allAcceptedCredentialIds = dataset.ids.split(" ").filter(Boolean);

signal("signalAllAcceptedCredentials", { userId, allAcceptedCredentialIds });
signal("signalCurrentUserDetails", { userId, name: dataset.name, displayName: dataset.displayName });
