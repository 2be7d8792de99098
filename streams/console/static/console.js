// Exchanges the parts of a page that news made old, and sends actions without leaving the page. Nothing is kept here:
// the server makes all HTML, and a part is exchanged whole, by its id, with what is folded out and focused left so.
"use strict";

const said = document.getElementById("said");
const body = document.body;
const NEWS = ["programme", "pipeline", "letters", "whatif"];
let news = null; // the stream of events
let wanted = new Set(); // what is new and not yet shown
let busy = false;
let timer = 0;

function say(text) {
  said.textContent = "";
  setTimeout(() => { said.textContent = text; }, 50); // the same text twice is told twice
}

function adopt(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

function state(part) {
  const open = new Set([...part.querySelectorAll("details[open][id]")].map((one) => one.id));
  const scrolled = [...part.querySelectorAll(".scroll")].map((one) => [one.scrollTop, one.scrollLeft]);
  return { open, scrolled };
}

function exchange(old, fresh) {
  const before = state(old);
  const focus = old.contains(document.activeElement) ? document.activeElement : null;
  const part = document.importNode(fresh, true);
  for (const one of part.querySelectorAll("details[id]")) one.open = before.open.has(one.id) || one.open;
  for (const kept of old.querySelectorAll("[data-loaded]")) { // what was fetched once and did not change
    const place = part.querySelector(`[id="${CSS.escape(kept.id)}"]`);
    if (place) place.replaceWith(kept);
  }
  old.replaceWith(part);
  part.querySelectorAll(".scroll").forEach((one, place) => {
    const was = before.scrolled[place];
    if (was) [one.scrollTop, one.scrollLeft] = was;
  });
  if (focus) refocus(part, focus);
}

function refocus(part, focus) {
  const again = focus.id && document.getElementById(focus.id);
  if (again) { again.focus({ preventScroll: true }); return; }
  const next = part.querySelector("button, a[href], summary, [tabindex]"); // what was focused is gone: stay near
  (next || document.getElementById("main")).focus({ preventScroll: true });
}

function asString(part) { // what the reader folded out does not make a part another one
  const copy = part.cloneNode(true);
  for (const one of copy.querySelectorAll("details")) one.removeAttribute("open");
  for (const one of copy.querySelectorAll("[data-loaded]")) { one.replaceChildren(); one.removeAttribute("data-loaded"); }
  for (const one of copy.querySelectorAll("[data-load]")) one.replaceChildren();
  for (const one of copy.querySelectorAll("input[name=mark]")) one.removeAttribute("value");
  return copy.outerHTML;
}

async function refresh() {
  if (busy || !wanted.size) return;
  busy = true;
  const names = wanted;
  wanted = new Set();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected && new URL(answer.url).pathname === "/login") { location.assign("/login"); return; }
    const page = adopt(await answer.text());
    let changed = false;
    for (const old of document.querySelectorAll("[data-live]")) {
      if (!old.dataset.live.split(" ").some((name) => names.has(name))) continue;
      const fresh = page.getElementById(old.id);
      if (fresh && asString(old) !== asString(fresh)) { exchange(old, fresh); changed = true; }
      if (!fresh && (old.id === "waiting" || old.id === "failed")) { whole(page); changed = true; break; }
    }
    const clock = document.querySelector(".clock");
    const now = page.querySelector(".clock");
    if (clock && now) clock.textContent = now.textContent;
    if (changed) load();
  } catch {
    names.forEach((name) => wanted.add(name)); // the stream of events will come again, and so shall we
  } finally {
    busy = false;
    if (wanted.size && news && news.readyState === EventSource.OPEN) soon();
  }
}

function whole(page) { // from "please wait" to the page itself
  document.querySelector("header.top").replaceWith(document.importNode(page.querySelector("header.top"), true));
  document.getElementById("main").replaceWith(document.importNode(page.getElementById("main"), true));
  document.title = page.title;
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 250); // several pieces of news, one request
}

function everything() {
  NEWS.forEach((name) => wanted.add(name));
  soon();
}

function listen() {
  news = new EventSource("/events");
  const live = () => document.getElementById("live");
  news.addEventListener("news", (event) => { wanted.add(event.data); soon(); });
  news.addEventListener("open", () => {
    if (live()) live().hidden = true;
    everything(); // what was told between the page and this was told to nobody
  });
  news.addEventListener("error", () => {
    if (live()) { live().textContent = body.dataset.offline; live().hidden = false; }
    if (news.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

async function load() { // parts that take longer than the page
  for (const place of document.querySelectorAll("[data-load]:not([data-loaded])")) {
    place.dataset.loaded = "yes";
    try {
      const answer = await fetch(place.dataset.load);
      if (!answer.ok) throw new Error(String(answer.status));
      place.replaceChildren(...[...adopt(await answer.text()).body.childNodes].map((one) => document.importNode(one, true)));
    } catch {
      delete place.dataset.loaded; // the link in it does the same
    }
  }
}

function notice(text, failed) {
  const place = document.getElementById("came");
  const told = document.createElement("p");
  told.className = failed ? "notice bad" : "notice good";
  told.textContent = text;
  place.replaceChildren(told);
  say(text);
}

async function act(event) {
  const form = event.target;
  if (!form.matches("form[data-act]")) return;
  event.preventDefault();
  const sent = new URLSearchParams(new FormData(form, event.submitter));
  const buttons = [...form.querySelectorAll("button")];
  buttons.forEach((one) => one.setAttribute("aria-disabled", "true"));
  if (form.dataset.sent) return; // one click, one contact
  form.dataset.sent = "yes";
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body: sent, headers: { Accept: "application/json" } });
    const came = await answer.json();
    notice(came.told, came.failed);
  } catch {
    notice(body.dataset.gone, true);
  }
  delete form.dataset.sent;
  buttons.forEach((one) => one.removeAttribute("aria-disabled"));
  NEWS.forEach((name) => wanted.add(name));
  await refresh();
}

document.addEventListener("submit", act);
document.addEventListener("visibilitychange", () => { // a browser has six connections a host, for all its tabs
  if (document.hidden) { if (news) news.close(); news = null; return; }
  if (!news) listen();
});
load();
if (!document.hidden) listen();
