// Small helps for forms: busy buttons, slug preview, codes that send themselves, the fragment carried across sign-in.

const BUSY_AFTER = 300; // ms: faster answers need no sign of work

export function slugify(text) {
  return text.toLowerCase().replaceAll("ß", "ss").normalize("NFKD").replace(/[\u0300-\u036f]/g, "").replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "").slice(0, 32).replace(/-+$/, "");
}

function showBusy(form) {
  const button = form.querySelector("button[type=submit]");
  if (!button) return;
  setTimeout(() => {
    button.classList.add("btn-loading");
    button.setAttribute("aria-disabled", "true");
  }, BUSY_AFTER);
}

function slugs() {
  for (const name of document.querySelectorAll("[data-slug-to]")) {
    const slug = document.getElementById(name.dataset.slugTo);
    if (!slug) continue;
    const preview = document.getElementById(slug.dataset.preview || "");
    const fallback = preview ? preview.textContent : "";
    let own = slug.value !== "" && slug.value !== slugify(name.value);
    const show = () => { if (preview) preview.textContent = slug.value || fallback; };
    name.addEventListener("input", () => { if (!own) { slug.value = slugify(name.value); show(); } });
    slug.addEventListener("input", () => { own = slug.value !== ""; show(); });
    slug.addEventListener("change", () => { slug.value = slugify(slug.value); show(); });
  }
}

function codes() {
  for (const input of document.querySelectorAll("[data-digits]")) {
    const wanted = Number(input.dataset.digits);
    input.addEventListener("input", () => {
      const digits = input.value.replace(/\D/g, "").slice(0, wanted);
      if (input.value !== digits) input.value = digits;
      if (digits.length === wanted && input.form.checkValidity()) input.form.requestSubmit();
    });
  }
}

// A fragment is never sent to a server: the page that a deep link turned into carries it on by hand.
function fragments() {
  const hash = location.hash;
  for (const input of document.querySelectorAll("[data-from-hash]")) {
    const value = new URLSearchParams(hash.slice(1)).get(input.dataset.fromHash);
    if (value && !input.value) {
      input.value = value;
      history.replaceState(null, "", location.pathname + location.search);
    }
  }
  if (hash.length < 2) return;
  for (const form of document.querySelectorAll("form[data-keep-hash]")) {
    const next = form.elements.namedItem("next");
    if (next && !next.value.includes("#")) next.value += hash;
    // A form without one leads on by itself: browsers carry its address's fragment through the redirects.
    if (!next && !form.action.includes("#")) form.action += hash;
  }
  for (const link of document.querySelectorAll("a[data-hash-link]")) {
    if (!decodeURIComponent(link.search).includes("#")) link.search += encodeURIComponent(hash);
  }
}

function protocols() {
  for (const form of document.querySelectorAll("[data-protocol-form]")) {
    const port = form.elements.namedItem("port");
    const show = (chosen) => {
      for (const part of form.querySelectorAll("[data-for]")) part.hidden = !part.dataset.for.split(" ").includes(chosen);
    };
    // data-when="name value …": shown while one of the values is chosen there.
    const check = () => {
      for (const part of form.querySelectorAll("[data-when]")) {
        const [name, ...values] = part.dataset.when.split(" ");
        part.hidden = !values.includes(form.querySelector(`[name=${name}]:checked`)?.value);
      }
    };
    const usual = [...form.querySelectorAll("[data-port]")].map((radio) => radio.dataset.port);
    form.addEventListener("change", (event) => {
      check();
      if (event.target.name !== "protocol") return;
      if (port.value === "" || usual.includes(port.value)) port.value = event.target.dataset.port;
      show(event.target.value);
    });
    show(form.querySelector("[name=protocol]:checked")?.value);
    check();
  }
}

export function start() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-stored]")) {
      event.preventDefault();
      location.assign(form.dataset.stored);
      return;
    }
    if (!form.matches("[data-busy]")) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    showBusy(form);
  });
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  document.querySelector("main [aria-invalid=true]")?.focus();
  slugs();
  codes();
  fragments();
  protocols();
  const moved = document.querySelector("[data-address]");
  if (moved) history.replaceState(null, "", moved.dataset.address);
  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
  }
}
