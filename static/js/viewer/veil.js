// The veil over the last picture: a sentence, a clock, and what can be done.

const $ = (id) => document.getElementById(id);

function text(id, value) {
  const element = $(id);
  element.hidden = !value;
  // Only real changes: the region is announced by screen readers.
  if (element.textContent !== (value ?? "")) element.textContent = value ?? "";
}

export class Veil {
  // `clock` is called every quarter of a second while the veil is up and returns the line to show.
  show({ sign = "busy", title, happened = "", said = "", quote = "{said}", todo = "", reference = "", again = "", signIn = false, leave = false, clock = null }) {
    $("veil-busy").hidden = sign !== "busy";
    $("veil-icon-trouble").hidden = sign !== "trouble";
    $("veil-icon-away").hidden = sign !== "away";
    text("veil-title", title);
    text("veil-happened", happened);
    text("veil-said", said ? quote.replace("{said}", () => said) : "");
    text("veil-todo", todo);
    $("veil-reference").hidden = !reference;
    $("veil-reference-text").textContent = reference;
    $("veil-again").hidden = !again;
    if (again) $("veil-again").lastElementChild.textContent = again;
    $("veil-sign-in").hidden = !signIn;
    $("veil-leave")?.toggleAttribute("hidden", !leave);
    $("veil-actions").hidden = !(again || signIn || (leave && $("veil-leave")));
    $("veil").hidden = false;
    clearInterval(this.timer);
    const tick = () => text("veil-clock", clock?.() ?? "");
    tick();
    if (clock) this.timer = setInterval(tick, 250);
  }

  hide() {
    clearInterval(this.timer);
    $("veil").hidden = true;
  }

  get up() {
    return !$("veil").hidden;
  }

  // For the keyboard: the first thing that can be done.
  focus() {
    [...$("veil-actions").querySelectorAll("button, a")].find((element) => !element.hidden)?.focus();
  }
}
