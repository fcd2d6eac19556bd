// The bar slides in at the top edge on pointer, tap or Ctrl+Alt+Shift, and leaves when nobody needs it.

const $ = (id) => document.getElementById(id);

const EDGE = 6; // pixels from the top edge that call the bar
const STAY = 2500; // ms it stays after the pointer left it

export class Bar {
  constructor({ left }) {
    this.bar = $("bar");
    this.handle = $("handle");
    this.left = left; // called when the keyboard leaves the bar for the panel
    this.pinned = false;
    this.handle.addEventListener("click", () => {
      this.show();
      this.focus();
    });
    document.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && event.clientY <= EDGE && event.buttons === 0) this.show(STAY);
    }, { capture: true });
    this.bar.addEventListener("pointerenter", () => clearTimeout(this.timer));
    this.bar.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") this.leaveSoon();
    });
    this.bar.addEventListener("focusout", () => this.leaveSoon());
    this.bar.addEventListener("keydown", (event) => this.key(event));
    $("screen").addEventListener("pointerdown", () => this.hide(), { capture: true });
  }

  get shown() {
    return this.bar.classList.contains("show");
  }

  show(milliseconds = 0) {
    clearTimeout(this.timer);
    this.bar.classList.add("show");
    this.bar.inert = false;
    this.handle.setAttribute("aria-expanded", "true");
    if (milliseconds) this.leaveSoon(milliseconds);
  }

  hide() {
    clearTimeout(this.timer);
    if (this.pinned) return;
    this.bar.classList.remove("show");
    this.bar.inert = true;
    this.handle.setAttribute("aria-expanded", "false");
  }

  leaveSoon(milliseconds = STAY) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      // Not while a button of it has the focus, and not from under the pointer.
      if (!this.bar.matches(":hover") && !this.bar.contains(document.activeElement)) this.hide();
    }, milliseconds);
  }

  focus() {
    this.buttons()[0]?.focus();
  }

  buttons() {
    return [...this.bar.querySelectorAll("button")].filter((button) => !button.hidden && !button.disabled);
  }

  // A toolbar's keys: arrows, Home and End walk the buttons, Escape goes back to the panel.
  key(event) {
    const buttons = this.buttons();
    const at = buttons.indexOf(document.activeElement);
    const to = {
      ArrowRight: (at + 1) % buttons.length,
      ArrowLeft: (at - 1 + buttons.length) % buttons.length,
      Home: 0,
      End: buttons.length - 1,
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      buttons[to].focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.left();
      this.hide();
    }
  }
}
