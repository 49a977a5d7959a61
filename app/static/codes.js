// The backup codes: copied, or downloaded as a file.

import { text } from "./texts.js";

const codes = [...document.querySelectorAll("#codes code")].map((code) => code.textContent).join("\n") + "\n";

document.getElementById("copy").addEventListener("click", async () => {
  const said = document.getElementById("said");
  try {
    await navigator.clipboard.writeText(codes);
    said.textContent = text("Copied.");
  } catch {
    getSelection().selectAllChildren(document.getElementById("codes"));
    said.textContent = text("The browser did not allow it. The codes are selected: copy them by hand.");
  }
});
document.getElementById("download").href = "data:text/plain;charset=utf-8," + encodeURIComponent(codes);
