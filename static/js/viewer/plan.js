// What follows when a connection ended: decided here, shown by veil.js, done by main.js.

// Seconds before the next try; a plant's line that comes and goes is not helped by hammering.
const BACK_OFF = [1, 2, 4, 8, 15, 30];
// Up to this share of a wait is added at random, so that the viewers of one plant do not all return at once.
const JITTER = 0.25;

const LOST = {
  key: "link_lost",
  title: "The connection was lost",
  happened: "Nothing comes through any more between this browser and the server.",
  todo: "Nothing to do: this page connects again by itself.",
  after: "again",
};

export function wait(tries, random = Math.random) {
  return BACK_OFF[Math.min(tries, BACK_OFF.length - 1)] * (1 + JITTER * random());
}

// The close reason is "<reference> <detail>"; codes that are not ours mean that the line broke.
export function read(code, reason, ends) {
  const words = ends[code];
  if (!words) {
    return { ...LOST, reference: "", detail: "" };
  }
  const [, reference, detail] = /^([0-9a-f]{8})?\s*(.*)$/.exec(reason);
  return { ...words, reference: reference ?? "", detail: detail ?? "" };
}

// "2026-01-31T12:00:00Z" as a Date, anything else as null.
export function moment(text) {
  const date = /^\d{4}-\d\d-\d\dT/.test(text ?? "") ? new Date(text) : null;
  return date && !Number.isNaN(date.getTime()) ? date : null;
}
