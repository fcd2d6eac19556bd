// Everything that the portal's pages need, started once.
import * as actions from "./actions.js";
import * as forms from "./forms.js";
import * as live from "./live.js";
import * as times from "./times.js";

for (const part of [times, forms, actions, live]) part.start();

// The list behind the search says how many it found, also to those who do not see it change.
document.addEventListener("htmx:afterSwap", (event) => {
  const total = document.getElementById("total");
  if (total && event.detail.requestConfig?.elt?.id === "search") document.getElementById("said").textContent = total.textContent;
});
