// Typing on a touch device: a hidden field raises the system's keyboard, and what changes in it becomes keys.
//
// Soft keyboards report no useful key events (keyCode 229); they edit text, also backwards when they correct a word.
// So the field is compared with what it held before.

import keysyms from "../../vendor/novnc/core/input/keysymdef.js";

const BACKSPACE = 0xff08;
const RETURN = 0xff0d;
const KEYS = { Enter: RETURN, Tab: 0xff09, Escape: 0xff1b, ArrowLeft: 0xff51, ArrowUp: 0xff52, ArrowRight: 0xff53, ArrowDown: 0xff54 };
// Something to erase must stand in the field, or Backspace would change nothing.
const PAD = "·".repeat(32);
const LONGEST = 512;

// What to erase and what to type to make `after` of `before`.
export function difference(before, after) {
  const a = [...before];
  const b = [...after];
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same += 1;
  return { erase: a.length - same, insert: b.slice(same) };
}

export function keysym(character) {
  return character === "\n" ? RETURN : keysyms.lookup(character.codePointAt(0));
}

// Send `text` as key presses; for panels that know no clipboard.
export function type(rfb, text) {
  for (const character of text.replaceAll("\r\n", "\n")) rfb.sendKey(keysym(character));
}

export class Typing {
  constructor(field, button, rfb) {
    this.field = field;
    this.rfb = rfb; // a function: the connection changes when it is made again
    this.button = button;
    field.addEventListener("input", () => this.changed());
    field.addEventListener("keydown", (event) => {
      const key = KEYS[event.key];
      if (key && !event.isComposing) {
        event.preventDefault();
        this.rfb()?.sendKey(key, event.code || undefined);
      }
    });
    field.addEventListener("blur", () => button.setAttribute("aria-pressed", "false"));
    // The button must not take the focus from the field, or the keyboard would close and open again.
    button.addEventListener("pointerdown", (event) => event.preventDefault());
    button.addEventListener("click", () => (document.activeElement === field ? field.blur() : this.open()));
  }

  open() {
    this.reset();
    this.field.focus({ preventScroll: true });
    this.button.setAttribute("aria-pressed", "true");
  }

  reset() {
    this.field.value = this.before = PAD;
    this.field.setSelectionRange(PAD.length, PAD.length);
  }

  changed() {
    const { erase, insert } = difference(this.before, this.field.value);
    const rfb = this.rfb();
    for (let i = 0; i < erase; i += 1) rfb?.sendKey(BACKSPACE, "Backspace");
    for (const character of insert) rfb?.sendKey(keysym(character));
    this.before = this.field.value;
    if (this.before.length < PAD.length / 2 || this.before.length > LONGEST) this.reset();
  }
}
