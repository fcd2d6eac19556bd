// <time data-as="..."> in the reader's words and zone; the full time with its zone on hover.

const STEPS = [[31536000, "year"], [2592000, "month"], [86400, "day"], [3600, "hour"], [60, "minute"]];
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const STAMP = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

export function words(seconds) {
  for (const [size, word] of STEPS) {
    if (seconds >= size) {
      const count = Math.floor(seconds / size);
      return `${count} ${word}${count === 1 ? "" : "s"}`;
    }
  }
  return "less than a minute";
}

function sameDay(a, b) {
  return a.toDateString() === b.toDateString();
}

export function say(moment, style, now = new Date()) {
  const seconds = (now - moment) / 1000;
  switch (style) {
    case "ago": return Math.abs(seconds) < 60 ? "just now" : `${words(Math.abs(seconds))} ${seconds < 0 ? "from now" : "ago"}`;
    case "since": return words(Math.max(0, seconds));
    case "until": return seconds >= 0 ? "now" : `in ${words(-seconds)}, at ${CLOCK.format(moment)}`;
    case "clock": return CLOCK.format(moment);
    case "moment": return sameDay(moment, now) ? CLOCK.format(moment) : STAMP.format(moment);
    default: return STAMP.format(moment);
  }
}

export function show(root = document) {
  for (const element of root.querySelectorAll("time[data-as]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const text = say(moment, element.dataset.as);
    if (element.textContent !== text) element.textContent = text;
    element.title = FULL.format(moment);
  }
}

export function start() {
  show();
  setInterval(show, 20000);
  document.addEventListener("htmx:load", (event) => show(event.target));
}
