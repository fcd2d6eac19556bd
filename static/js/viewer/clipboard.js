// Clipboard text both ways: boxes that work everywhere, and the browser's own clipboard where it allows it.

import { type } from "./typing.js";

const $ = (id) => document.getElementById(id);

export class Clipboard {
  constructor({ rfb, opened, closed }) {
    this.rfb = rfb;
    this.box = $("clipboard-box");
    this.button = $("clipboard");
    this.closed = closed;
    this.opened = opened;
    this.button.addEventListener("click", () => (this.box.hidden ? this.open() : this.close()));
    $("clip-close").addEventListener("click", () => this.close());
    this.box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
    $("clip-send").addEventListener("click", () => this.send());
    $("clip-type").addEventListener("click", () => this.type());
    $("clip-copy").addEventListener("click", () => this.copy());
    if (navigator.clipboard?.readText) {
      $("clip-read").hidden = false;
      $("clip-read").addEventListener("click", () => this.read());
    }
  }

  open() {
    this.box.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.say("");
    this.opened();
    const first = $("clip-out");
    (first.closest("[hidden]") ? $("clip-in") : first).focus();
  }

  close() {
    if (this.box.hidden) return;
    this.box.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    this.closed();
  }

  say(sentence) {
    $("clip-said").textContent = sentence;
  }

  // Text that was copied at the panel.
  received(text) {
    $("clip-in").value = text;
    $("clip-copy").disabled = !text;
    if (!this.box.hidden) this.say("New text came from the panel.");
  }

  send() {
    this.rfb()?.clipboardPasteFrom($("clip-out").value);
    this.say("The text is on the panel’s clipboard. Paste it there.");
  }

  type() {
    const rfb = this.rfb();
    if (!rfb) return;
    type(rfb, $("clip-out").value);
    this.close();
  }

  async read() {
    try {
      $("clip-out").value = await navigator.clipboard.readText();
      this.send();
    } catch {
      this.say("The browser does not allow reading its clipboard. Paste into the box instead.");
      $("clip-out").focus();
    }
  }

  async copy() {
    const box = $("clip-in");
    try {
      await navigator.clipboard.writeText(box.value);
      this.say("Copied.");
    } catch {
      box.focus();
      box.select();
      this.say("The text is marked. Copy it with Ctrl+C, or by holding it on a touch screen.");
    }
  }
}
