// Forms that need a proof: the question comes when the form is sent, instead of a field in each of them.
// The page is not shown before this has run ("blocking"), so that no field goes while somebody types into it.

import { call, problem } from "./calls.js";
import { prove } from "./ask.js";

for (const form of document.querySelectorAll("form[data-prove]")) {
  const field = form.elements.answer;
  field.disabled = field.closest(".field").hidden = true;
  form.addEventListener("submit", async (event) => {
    if ("proved" in form.dataset) {
      delete form.dataset.proved;
      return;
    }
    event.preventDefault();
    const answer = await prove(() => call("POST", "/me/proof"), form.dataset.prove);
    if (answer === null) {
      event.submitter.focus();
    } else if (answer.status === 204) {
      form.dataset.proved = "";
      form.requestSubmit(event.submitter);
    } else {
      const said = Object.assign(document.createElement("p"), { className: "problem box", textContent: problem(answer) });
      said.setAttribute("role", "alert");
      form.querySelector(".problem.box")?.remove();
      form.prepend(said);
    }
  });
}
