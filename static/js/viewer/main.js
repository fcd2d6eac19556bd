// The viewer page: one connection at a time, the veil over it, the bar above it.

import RFB from "../../vendor/novnc/core/rfb.js";
import { Bar } from "./bar.js";
import { Channel } from "./channel.js";
import { Clipboard } from "./clipboard.js";
import { moment, read, wait } from "./plan.js";
import { Typing } from "./typing.js";
import { Veil } from "./veil.js";
import { clock, duration, size } from "./words.js";

const SETTLED = 10_000; // ms of picture after which the next loss starts its back-off afresh
const POLL = 5_000; // ms between looks whether an offline device is back
const SILENCE = 20_000; // ms without a byte: the proxy tells the round trip every five seconds, so the line is dead
const PATIENCE = 3_000; // ms after which a wait shows its clock

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("viewer-data").textContent);
const veil = new Veil();

let rfb = null;
let channel = null;
let watch = data.watch;
let tries = 0;
let next = null; // timer of the next try
let looking = null; // timer that waits for the first picture
let shownAt = 0; // when the present picture came, 0 without one
let lostAt = 0; // when the last picture was lost, 0 before there was one
let bytesBefore = { received: 0, sent: 0 };
let ms = null;

const bar = new Bar({ left: () => rfb?.focus() });
const clipboard = new Clipboard({
  rfb: () => (shownAt ? rfb : null),
  opened: () => {
    bar.pinned = true;
    bar.show();
  },
  closed: () => {
    bar.pinned = false;
    bar.leaveSoon();
    rfb?.focus();
  },
});
new Typing($("typing"), $("keyboard"), () => (shownAt ? rfb : null));

function state(name, word) {
  document.body.dataset.state = name;
  $("state-word").textContent = word;
  const colours = { connected: "status-green", connecting: "status-blue", reconnecting: "status-orange", ended: "status-red" };
  $("dot").className = `status-dot ${colours[name]} ${name === "connected" ? "" : "status-dot-animated"}`;
  for (const button of ["cad", "disconnect", "keyboard", "clipboard"]) $(button).disabled = name !== "connected";
}

function connect() {
  clearTimeout(next);
  const began = Date.now();
  state(lostAt ? "reconnecting" : "connecting", lostAt ? "Reconnecting" : "Connecting");
  veil.show({
    title: lostAt ? "Connecting again" : `Connecting to ${data.machine}`,
    happened: lostAt ? "" : `Opening ${data.service}.`,
    clock: () => {
      if (lostAt) return `Picture from ${duration((Date.now() - lostAt) / 1000)} ago.`;
      return Date.now() - began > PATIENCE ? `Waiting for ${duration((Date.now() - began) / 1000)}.` : "";
    },
  });
  const address = new URL(data.socket, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  channel = new Channel(address.href, { note, closed });
  rfb = new RFB($("picture"), channel, { shared: true });
  rfb.background = "transparent";
  rfb.addEventListener("connect", connected);
  rfb.addEventListener("clipboard", (event) => clipboard.received(event.detail.text));
  rule();
  scale();
}

function connected() {
  const canvas = $("picture").querySelector("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `Screen of ${data.machine}, ${data.service}. Keys go to the panel; Ctrl+Alt+Shift opens the controls.`);
  // ServerInit is one message; the next one is picture.
  const before = channel.messages;
  clearInterval(looking);
  looking = setInterval(() => {
    if (channel.messages > before) {
      clearInterval(looking);
      requestAnimationFrame(picture);
    }
  }, 30);
}

function picture() {
  shownAt = Date.now();
  lostAt = 0;
  $("last").hidden = true;
  const focused = document.activeElement;
  veil.hide();
  state("connected", "Connected");
  announce();
  bar.show(3000);
  if (focused === document.body || $("veil").contains(focused)) rfb.focus({ preventScroll: true });
}

// Before noVNC clears its canvas: the last picture stays, under the veil.
function keepPicture() {
  const canvas = $("picture").querySelector("canvas");
  if (!shownAt || !canvas?.width) return;
  const last = $("last");
  last.width = canvas.width;
  last.height = canvas.height;
  last.getContext("2d").drawImage(canvas, 0, 0);
  last.hidden = false;
  if (Date.now() - shownAt > SETTLED) tries = 0;
  lostAt = Date.now();
  shownAt = 0;
}

async function closed(event) {
  clearInterval(looking);
  keepPicture();
  bytesBefore = { received: bytesBefore.received + channel.received, sent: bytesBefore.sent + channel.sent };
  const { opened, leaving } = channel;
  channel = { received: 0, sent: 0 };
  ms = null;
  facts();
  if (leaving) {
    ended({ title: "Disconnected", happened: `You closed the connection to ${data.machine}.`, after: "ask", again: "Connect again", sign: "away" });
    return;
  }
  if (event.code === 1000 || event.code === 1005) {
    // Closed by noVNC itself: the panel sent something it cannot read.
    ended({ title: "The picture could not be read", happened: "The panel sent something this viewer does not understand.", todo: "Try again. If it happens again, tell support which panel this is.", after: "ask" });
    return;
  }
  const end = read(event.code, event.reason, data.ends);
  if (!opened) {
    const now = await look();
    if (now.over) Object.assign(end, data.ends[now.over]);
  }
  if (end.after === "again") again(end);
  else if (end.after === "poll") offline(end);
  else ended(end);
}

function again(end) {
  const at = Date.now() + 1000 * wait(tries);
  tries += 1;
  state("reconnecting", "Reconnecting");
  clearTimeout(next);
  next = setTimeout(connect, at - Date.now());
  veil.show({
    ...end,
    said: end.detail,
    again: "Try now",
    leave: true,
    clock: () => {
      const soon = `Next try in ${duration((at - Date.now()) / 1000)}.`;
      return lostAt ? `Picture from ${duration((Date.now() - lostAt) / 1000)} ago. ${soon}` : soon;
    },
  });
}

function offline(end) {
  const since = moment(end.detail);
  state("reconnecting", "Offline");
  veil.show({
    ...end,
    sign: "away",
    again: "Try now",
    leave: true,
    clock: () => (since ? `Offline since ${clock(since)}, for ${duration((Date.now() - since) / 1000)}.` : "Waiting for the machine."),
  });
  const poll = async () => {
    const now = await look();
    if (now.over) ended({ ...data.ends[now.over] });
    else if (now.online) connect();
    else next = setTimeout(poll, POLL);
  };
  clearTimeout(next);
  next = setTimeout(poll, POLL);
}

function ended(end) {
  clearTimeout(next);
  state("ended", end.sign === "away" ? "Disconnected" : "Not connected");
  clipboard.close();
  veil.show({
    sign: "trouble",
    ...end,
    said: end.detail,
    again: end.after === "ask" ? (end.again ?? "Try again") : "",
    signIn: end.after === "sign-in",
    leave: true,
  });
  veil.focus();
}

// What the proxy says about the device without opening anything.
async function look() {
  try {
    const answer = await fetch(data.status, { cache: "no-store", headers: { accept: "application/json" } });
    if (answer.status === 401) return { over: 4009 };
    if (answer.status === 403 || answer.status === 404) return { over: 4010 };
    const body = await answer.json();
    return { online: body.device?.status === "online" };
  } catch {
    return {};
  }
}

function note(told) {
  if (typeof told.ms === "number") ms = told.ms;
  if (typeof told.watch === "boolean") {
    watch = told.watch;
    rule();
    announce();
  }
  facts();
}

// Watching or operating; the proxy enforces it, the page shows it.
function rule() {
  if (rfb) rfb.viewOnly = watch;
  $("watch-badge").hidden = !watch;
  for (const element of document.querySelectorAll("[data-operate]")) element.hidden = watch;
  $("keyboard").hidden = watch || !touch();
}

// For screen readers, to whom neither the picture nor the badge says anything.
function announce() {
  $("announce").textContent = shownAt ? `Connected to ${data.machine}, ${watch ? "view only" : "keys and pointer go to the panel"}.` : "";
}

function touch() {
  return matchMedia("(any-pointer: coarse)").matches || navigator.maxTouchPoints > 0;
}

function facts() {
  $("ms").hidden = ms === null;
  $("ms").textContent = ms === null ? "" : `${ms} ms`;
  const bytes = bytesBefore.received + bytesBefore.sent + channel.received + channel.sent;
  $("bytes").hidden = bytes === 0;
  $("bytes").textContent = size(bytes);
}

function scale() {
  const fit = localStorage.getItem("viewer-scale") !== "1:1";
  document.body.classList.toggle("viewer-fit", fit);
  $("scale").setAttribute("aria-pressed", String(fit));
  $("scale").title = fit ? "Fitted to the window; switch to the panel’s own size" : "In the panel’s own size; switch to fit the window";
  $("scale").querySelector("span").textContent = fit ? "Fit" : "1:1";
  if (!rfb) return;
  rfb.scaleViewport = fit;
  // At 1:1 a finger moves the view where a mouse has scroll bars.
  rfb.clipViewport = rfb.dragViewport = !fit && !matchMedia("(any-hover: hover)").matches;
}

$("scale").addEventListener("click", () => {
  localStorage.setItem("viewer-scale", document.body.classList.contains("viewer-fit") ? "1:1" : "fit");
  scale();
});

$("fullscreen").hidden = !document.fullscreenEnabled;
$("fullscreen").addEventListener("click", async () => {
  if (document.fullscreenElement) {
    await document.exitFullscreen();
  } else {
    await document.documentElement.requestFullscreen({ navigationUI: "hide" });
    // Where the browser can, keys like Alt+Tab go to the panel as well.
    await navigator.keyboard?.lock?.();
  }
});
document.addEventListener("fullscreenchange", () => {
  $("fullscreen").setAttribute("aria-pressed", String(Boolean(document.fullscreenElement)));
});

$("cad").addEventListener("click", () => {
  rfb?.sendCtrlAltDel();
  rfb?.focus();
});
$("disconnect").addEventListener("click", () => {
  channel.leaving = true;
  clearTimeout(next);
  rfb?.disconnect();
});
$("veil-again").addEventListener("click", connect);
$("veil-sign-in").addEventListener("click", () => location.reload());

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.altKey && event.shiftKey && ["Control", "Alt", "Shift"].includes(event.key)) {
    event.preventDefault();
    event.stopPropagation();
    // noVNC lets go of all keys when the window loses the focus; here the panel does.
    window.dispatchEvent(new Event("blur"));
    bar.show();
    bar.focus();
  }
}, { capture: true });

// The panel's outline is for those who walk the page by Tab; a click needs none.
document.addEventListener("keydown", (event) => {
  if (event.key === "Tab" && event.target.tagName !== "CANVAS") document.body.classList.add("viewer-tabbing");
}, { capture: true });
document.addEventListener("pointerdown", () => document.body.classList.remove("viewer-tabbing"), { capture: true });

window.addEventListener("online", () => {
  if (document.body.dataset.state === "reconnecting" && veil.up && channel?.socket === undefined) connect();
});

setInterval(() => {
  if (!channel) return;
  facts();
  if (shownAt && Date.now() - channel.heard > SILENCE) channel.drop();
}, 1000);
connect();
