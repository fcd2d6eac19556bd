// The page hears that something of its account changed and asks for its live region again, without a reload.
// Only a visible tab keeps a stream: browsers allow six connections to one host, and a forgotten tab needs none.

let source = null;
let waiting = false;

function busy() {
  const region = document.querySelector("[data-live-region]");
  // Nothing moves while a dialog is open or the pointer is held down on the list, and what someone types stays.
  return !region || document.querySelector("dialog[open]") !== null || region.matches(":active") || typing(region);
}

function typing(region) {
  const fields = [...region.querySelectorAll("input, textarea")];
  return fields.some((field) => field.value !== field.defaultValue || (field === document.activeElement && field.matches(":focus-visible")));
}

function refresh() {
  if (busy()) {
    if (!waiting) {
      waiting = true;
      setTimeout(() => { waiting = false; refresh(); }, 1500);
    }
    return;
  }
  const region = document.querySelector("[data-live-region]");
  if (region && window.htmx) window.htmx.trigger(region, "pg:change");
}

function open(address) {
  if (source || document.visibilityState !== "visible") return;
  source = new EventSource(address);
  source.addEventListener("change", refresh);
  source.addEventListener("ended", () => { close(); location.reload(); });
}

function close() {
  if (source) source.close();
  source = null;
}

export function start() {
  const address = document.body.dataset.live;
  if (!address || !document.querySelector("[data-live-region]")) return;
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") {
      open(address);
      refresh();
    } else {
      close();
    }
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", () => open(address));
  // A region that comes back unchanged is left alone: no flicker, focus and selection stay.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    if (!target || !target.matches("[data-live-region]") || event.detail.xhr.status !== 200) return;
    const fresh = new DOMParser().parseFromString(event.detail.serverResponse, "text/html").getElementById(target.id);
    if (fresh && plain(fresh) === plain(target)) event.detail.shouldSwap = false;
  });
}

// What a region says, without what scripts wrote into it.
function plain(region) {
  const copy = region.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) { time.textContent = ""; time.removeAttribute("title"); }
  for (const element of [copy, ...copy.querySelectorAll("[class]")]) {
    element.classList.remove("htmx-request", "htmx-settling", "htmx-swapping", "htmx-added");
  }
  return copy.innerHTML;
}
