// The panel's page: live values over a WebSocket, messages as server-sent events, commands by fetch.
const at = (id) => document.getElementById(id);
const trend = [];
let angle = 0;
let speed = 0;

function show(values) {
  for (const name of ["temperature", "level", "speed", "target"]) at(name).textContent = values[name].toFixed(1);
  at("batches").textContent = values.batches;
  at("recipe").textContent = values.recipe;
  at("state").textContent = values.state;
  at("mark").textContent = values.state === "running" ? "▶" : values.state === "stopped" ? "■" : "◆";
  at("time").textContent = new Date(values.time * 1000).toLocaleTimeString();
  at("fluid").setAttribute("y", String(250 - values.level * 2));
  at("motor").classList.toggle("on", values.speed > 0);
  speed = values.speed;
  trend.push([values.temperature, values.target]);
  if (trend.length > 300) trend.shift();
  draw();
}

function draw() {
  const canvas = at("trend");
  const pen = canvas.getContext("2d");
  const { clientWidth: width, clientHeight: height } = canvas;
  const sharp = devicePixelRatio || 1;
  canvas.width = width * sharp; // also clears it
  canvas.height = height * sharp;
  pen.scale(sharp, sharp);
  const y = (celsius) => height - 10 - ((celsius - 15) / 85) * (height - 20);
  pen.font = "12px system-ui";
  pen.strokeStyle = "#aab4ba";
  pen.fillStyle = "#52616b";
  for (const celsius of [20, 40, 60, 80, 100]) {
    pen.beginPath();
    pen.moveTo(48, y(celsius));
    pen.lineTo(width, y(celsius));
    pen.stroke();
    pen.fillText(`${celsius} °C`, 0, y(celsius) + 4);
  }
  for (const [which, colour, thick] of [[1, "#8a949b", 1.5], [0, "#14384f", 2.5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = thick;
    pen.beginPath();
    trend.forEach((pair, n) => pen.lineTo(48 + (n * (width - 48)) / 300, y(pair[which])));
    pen.stroke();
  }
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.onopen = () => {
    at("link").textContent = "live";
    at("link").classList.add("on");
  };
  socket.onmessage = (message) => show(JSON.parse(message.data));
  socket.onclose = () => {
    at("link").textContent = "no connection to the machine";
    at("link").classList.remove("on");
    setTimeout(connect, 1000);
  };
}

async function send(body) {
  const response = await fetch("/command", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }).catch(() => null);
  const answer = response && (await response.json().catch(() => null));
  at("answer").textContent = !answer ? "The machine did not answer." : (answer.error ?? "");
}

at("start").onclick = () => send({ command: "start" });
at("stop").onclick = () => send({ command: "stop" });
at("setpoint").onsubmit = (event) => {
  event.preventDefault();
  send({ command: "set_target", value: at("value").valueAsNumber });
};
at("upload").onsubmit = async (event) => {
  event.preventDefault();
  const response = await fetch("/recipe", { method: "POST", body: new FormData(event.target) }).catch(() => null);
  const answer = response && (await response.json().catch(() => null));
  at("loaded").textContent = answer ? (answer.error ?? `${answer.name}: ${answer.size} bytes loaded`) : "The machine did not answer.";
};

const messages = new EventSource("/events");
messages.onopen = () => at("messages").replaceChildren();
messages.onmessage = (event) => {
  const { time, text } = JSON.parse(event.data);
  const line = document.createElement("li");
  const when = document.createElement("time");
  when.textContent = time;
  line.append(when, text);
  at("messages").prepend(line);
};

const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
function turn() {
  angle += speed / 20;
  at("blade").style.transform = `scaleX(${Math.max(0.15, Math.abs(Math.cos(angle / 6)))})`;
  requestAnimationFrame(turn);
}
if (!still) turn();
connect();
