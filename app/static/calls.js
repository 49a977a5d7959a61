// Calls of the API by the cookie.

import { refusal, text } from "./texts.js";

export const MFA_REQUIRED = 60003;
export const INVALID_TICKET = 60006;
export const WRONG_ANSWER = "Invalid two-factor code";
export const NO_TICKET = "Invalid two-factor auth ticket";

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
    return { status: 0, body: { error: text("There is no connection. Please try again.") } };
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
  if (status === 429) return text("Too many tries. Wait a few minutes, then try again.");
  if (status >= 500) return text("That did not work just now. Please try again.");
  const [field] = Object.values(body.errors ?? {});
  const said = field?._errors?.[0]?.message ?? body.error?.replace(/^[a-z_]+: /, "") ?? body.message;
  return said ? refusal(said) : text("That did not work.");
}
