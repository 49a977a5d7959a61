// The secret of a link from a mail stands behind its #, which no server is sent. It goes into the form, and out of the
// address; kept for this tab alone, so that a form which comes back with a problem has it again.
const KEPT = "link " + location.pathname.split("/")[1];
const field = document.getElementById("token");

function fill() {
  const arrived = location.hash.length > 1;
  if (arrived) {
    sessionStorage.setItem(KEPT, location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
  }
  const secret = sessionStorage.getItem(KEPT);
  if (secret && (arrived || field.getAttribute("aria-invalid") !== "true")) {
    field.value = secret;
    field.closest(".field").hidden = true;
  }
}

fill();
addEventListener("hashchange", fill);
