// The pages work without this script. It adds buttons that copy, and keeps the page of a running build up to date.
"use strict";

const PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 30000;
const POLL_MS = 10000;
const MOST_MARKS = 1000;

function addCopyButtons() {
  if (!navigator.clipboard) return; // browsers have it on https and on this machine only
  for (const box of document.querySelectorAll(".copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(box.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    box.append(button);
  }
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function cell(kind, text, className) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function bar(share) {
  const name = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(name, "svg");
  picture.setAttribute("viewBox", "0 0 100 6");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  const block = document.createElementNS(name, "rect");
  block.setAttribute("width", share);
  block.setAttribute("height", 6);
  picture.append(block);
  const made = cell("td", "", "share");
  made.append(picture);
  return made;
}

function row(step) {
  const made = document.createElement("tr");
  if (step.running) made.className = "running";
  const name = cell("th", step.name);
  name.scope = "row";
  made.append(name, cell("td", duration(step.seconds), "number"), bar(step.share), cell("td", step.note || (step.running ? "running" : ""), "soft"));
  return made;
}

function sentence(text) {
  return text.split(/`([^`]*)`/).map((piece, index) => (index % 2 ? cell("code", piece) : piece));
}

function showSteps(news) {
  document.getElementById("sentence").replaceChildren(...sentence(news.sentence));
  document.getElementById("steps").replaceChildren(...news.steps.map(row));
  const none = document.getElementById("no-steps");
  if (none) none.hidden = news.steps.length > 0;
}

function showLog(log, news) {
  if (log.textContent === news.log) return;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.textContent = news.log;
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// A running build is followed by the events that are sent. While none are, because too many listen or the server is
// away, the page asks for the same from time to time. Once the build is in another state, the page is another.
async function follow(log) {
  log.scrollTop = log.scrollHeight;
  let sent = false;
  let pause = PAUSE_MS;
  const source = new EventSource(log.dataset.events);

  function take(news) {
    if (news.state !== log.dataset.state || String(news.fence) !== log.dataset.fence) {
      source.close();
      location.reload();
    } else {
      showSteps(news);
    }
  }

  source.addEventListener("open", () => { sent = true; });
  source.addEventListener("error", () => { sent = false; });
  source.addEventListener("steps", (event) => take(JSON.parse(event.data)));
  source.addEventListener("log", (event) => showLog(log, JSON.parse(event.data)));
  for (;;) {
    await new Promise((done) => { setTimeout(done, pause); });
    if (document.hidden || sent) continue;
    try {
      const answer = await fetch(log.dataset.progress, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const news = await answer.json();
      take(news);
      showLog(log, news);
      pause = PAUSE_MS;
    } catch {
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }
}

// While a page that is sent its news (htmx, server-sent events) gets none, because too many listen or the server is
// away, it asks for itself from time to time, and takes over the parts that would have been sent.
function pollWhileNothingIsSent() {
  let open = false;
  document.body.addEventListener("htmx:sseOpen", () => { open = true; });
  document.body.addEventListener("htmx:sseError", () => { open = false; });
  setInterval(async () => {
    if (open || document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[sse-swap]")) {
        const news = page.getElementById(part.id);
        if (news && news.innerHTML !== part.innerHTML) part.replaceChildren(...news.childNodes);
      }
    } catch { /* the next turn may do better */ }
  }, POLL_MS);
}

// Marks what is looked for in a log, opens the steps that have it, and goes from one to the next.
function addSearch(log) {
  const parts = log.matches("pre") ? [log] : [...log.querySelectorAll("pre")];
  const texts = parts.map((part) => part.textContent);
  const box = document.createElement("form");
  box.className = "find";
  box.setAttribute("role", "search");
  const label = cell("label", "Find in the log");
  label.htmlFor = "find";
  const input = document.createElement("input");
  input.type = "search";
  input.id = "find";
  input.autocomplete = "off";
  const next = cell("button", "Next");
  const said = cell("output", "");
  box.append(label, input, next, said);
  log.before(box);
  let marks = [];
  let at = -1;
  let sought = "";

  function look() {
    sought = input.value;
    at = -1;
    marks = [];
    parts.forEach((part, index) => {
      const found = sought ? pieces(texts[index], sought, MOST_MARKS - marks.length) : [texts[index]];
      part.replaceChildren(...found);
      const own = found.filter((piece) => piece.nodeType);
      marks.push(...own);
      if (own.length && part.parentElement.tagName === "DETAILS") part.parentElement.open = true;
    });
    said.textContent = sought ? (marks.length < MOST_MARKS ? `${marks.length} found` : `more than ${MOST_MARKS} found`) : "";
  }

  box.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value !== sought) look();
    if (!marks.length) return;
    if (at >= 0) marks[at].classList.remove("here");
    at = (at + 1) % marks.length;
    marks[at].classList.add("here");
    marks[at].scrollIntoView({ block: "center" });
    said.textContent = `${at + 1} of ${marks.length}`;
  });
}

// The text as a list of texts and <mark> elements; what is sought counts whatever the case of its letters.
function pieces(text, sought, most) {
  const found = [];
  const low = text.toLowerCase();
  const word = sought.toLowerCase();
  if (low.length !== text.length) return [text]; // some letters have a lower case of another length
  let begin = 0;
  for (let place = low.indexOf(word); place >= 0 && most > 0; place = low.indexOf(word, begin)) {
    found.push(text.slice(begin, place), cell("mark", text.slice(place, place + word.length)));
    begin = place + word.length;
    most -= 1;
  }
  found.push(text.slice(begin));
  return found;
}

// Browsers that tell the processor only when they are asked: what the page could not see in the request.
async function tellMachine(place) {
  const told = await navigator.userAgentData?.getHighEntropyValues?.(["architecture", "bitness"]).catch(() => null);
  if (!told || !told.architecture || navigator.userAgentData.platform !== "Linux") return;
  place.textContent = `This browser says that it runs on ${told.architecture}, ${told.bitness} bits.`;
}

addCopyButtons();
const machine = document.getElementById("machine");
if (machine) tellMachine(machine);
if (document.querySelector("[sse-connect]")) pollWhileNothingIsSent();
const log = document.querySelector("[data-progress]");
if (log) follow(log);
else if (document.getElementById("log")) addSearch(document.getElementById("log"));
for (const part of document.querySelectorAll("pre.log")) part.scrollTop = part.scrollHeight;
