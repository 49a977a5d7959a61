// The backup codes: copied, or downloaded as a file.

const text = [...document.querySelectorAll("#codes code")].map((code) => code.textContent).join("\n") + "\n";

document.getElementById("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(text);
  document.getElementById("said").textContent = "Copied.";
});
document.getElementById("download").href = "data:text/plain;charset=utf-8," + encodeURIComponent(text);
