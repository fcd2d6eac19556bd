// What buttons do: copy, download, print, open a dialog, show a password. And "/" for the search.

function tell(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
}

async function copy(button, text) {
  const word = button.querySelector("[data-word]");
  const before = word ? word.textContent : "";
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = false;
  }
  const said = done ? "Copied" : "Select it and press Ctrl+C";
  if (word) word.textContent = said;
  tell(said);
  setTimeout(() => { if (word) word.textContent = before; }, 2500);
}

function listed(id) {
  return [...document.getElementById(id).querySelectorAll("code")].map((code) => code.textContent).join("\n") + "\n";
}

function download(id) {
  const link = document.createElement("a");
  link.href = "data:text/plain;charset=utf-8," + encodeURIComponent(listed(id));
  link.download = document.getElementById(id).dataset.name;
  link.click();
}

function reveal(button) {
  const input = document.getElementById(button.dataset.reveal);
  const shown = input.type === "password";
  input.type = shown ? "text" : "password";
  button.setAttribute("aria-pressed", String(shown));
}

function click(event) {
  const button = event.target.closest("button");
  if (!button) return;
  const data = button.dataset;
  if ("copy" in data) copy(button, data.copy);
  else if ("copyCodes" in data) copy(button, listed(data.copyCodes));
  else if ("download" in data) download(data.download);
  else if ("print" in data) window.print();
  else if ("reveal" in data) reveal(button);
  else if ("dialog" in data) document.getElementById(data.dialog)?.showModal();
  else if ("close" in data) button.closest("dialog").close();
}

function outside(event) {
  for (const menu of document.querySelectorAll("details.pg-menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  if (event.target instanceof HTMLDialogElement) event.target.close();
}

function keys(event) {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.pg-menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable], dialog")) return;
  const search = document.getElementById("search");
  if (search) {
    event.preventDefault();
    search.focus();
    search.select();
  }
}

export function start() {
  document.addEventListener("click", click);
  document.addEventListener("click", outside);
  document.addEventListener("keydown", keys);
}
