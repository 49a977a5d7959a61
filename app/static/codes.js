// The backup codes: copied, or downloaded as a file.

const text = [...document.querySelectorAll("#codes code")].map((code) => code.textContent).join("\n") + "\n";

document.getElementById("copy").addEventListener("click", async () => {
  const said = document.getElementById("said");
  try {
    await navigator.clipboard.writeText(text);
    said.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(document.getElementById("codes"));
    said.textContent = "The browser did not allow it. The codes are selected: copy them by hand.";
  }
});
document.getElementById("download").href = "data:text/plain;charset=utf-8," + encodeURIComponent(text);
