// An error page that goes away by itself: it asks whether the machine is back, or tries again after some seconds.
import * as times from "./times.js";

const POLL = 4000; // ms between two questions; the answer is a few bytes
const data = document.body.dataset;

times.start();
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-again]")) location.reload();
});

async function back(address) {
  try {
    const answer = await fetch(address, { cache: "no-store", headers: { Accept: "application/json" } });
    if (answer.status === 401) return true; // the sign-in is over: a reload leads to it
    if (!answer.ok) return false;
    const status = await answer.json();
    return status.online === true || status.status === "online" || status.device === "online" || status.device?.status === "online";
  } catch {
    return false;
  }
}

async function poll() {
  if (document.visibilityState === "visible" && await back(data.poll)) {
    location.reload();
    return;
  }
  setTimeout(poll, POLL);
}

function countDown(left) {
  const place = document.getElementById("left");
  if (place) place.textContent = String(left);
  if (left <= 0) location.reload();
  else setTimeout(() => countDown(left - 1), 1000);
}

if (data.poll) setTimeout(poll, POLL);
else if (data.retry && document.getElementById("left")) countDown(Number(data.retry));
