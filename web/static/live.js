// The pages work without this script. It adds buttons that copy, and keeps the page of a running build up to date.
"use strict";

const PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 30000;
const POLL_MS = 10000;

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

function show(log, news) {
  document.getElementById("sentence").replaceChildren(...sentence(news.sentence));
  document.getElementById("steps").replaceChildren(...news.steps.map(row));
  const none = document.getElementById("no-steps");
  if (none) none.hidden = news.steps.length > 0;
  if (log.textContent === news.log) return;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.textContent = news.log;
  if (atEnd) log.scrollTop = log.scrollHeight;
}

async function follow(log) {
  log.scrollTop = log.scrollHeight;
  let pause = PAUSE_MS;
  for (;;) {
    await new Promise((done) => { setTimeout(done, pause); });
    if (document.hidden) continue;
    try {
      const answer = await fetch(log.dataset.progress, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const news = await answer.json();
      if (news.state !== log.dataset.state || String(news.fence) !== log.dataset.fence) {
        location.reload();
        return;
      }
      show(log, news);
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

addCopyButtons();
if (document.querySelector("[sse-connect]")) pollWhileNothingIsSent();
const log = document.querySelector("[data-progress]");
if (log) follow(log);
else if (document.getElementById("log")) document.getElementById("log").scrollTop = document.getElementById("log").scrollHeight;
