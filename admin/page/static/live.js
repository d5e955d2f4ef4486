// Keeps the page of deliveries up to date. Without it, the page is loaded again.
"use strict";

(() => {
  const list = document.getElementById("deliveries");
  const pause = document.getElementById("pause");
  const state = document.getElementById("state");
  const said = document.getElementById("said");
  const most = Number(list.dataset.most);
  const ANNOUNCED_EVERY = 10000; // milliseconds: a screen reader is told of many deliveries at once
  const shown = new Map(); // key → row, as the server sent it
  let source = null;
  let waiting = new Map(); // while paused: key → row
  let paused = false;
  let arrived = 0;
  let announcing = null;

  function rowOf(text) {
    const template = document.createElement("template");
    template.innerHTML = text; // escaped by the server, as in the page itself
    return template.content.querySelector("tr");
  }

  function show({ key, row }) {
    const made = rowOf(row);
    const old = [...list.children].find((one) => one.dataset.key === key);
    shown.set(key, row);
    if (old) {
      const hadFocus = old.contains(document.activeElement);
      old.replaceWith(made);
      if (hadFocus) made.querySelector("a")?.focus();
      return;
    }
    list.prepend(made);
    arrived += 1;
    while (list.children.length > most) {
      shown.delete(list.lastElementChild.dataset.key);
      list.lastElementChild.remove();
    }
  }

  function announce() {
    if (announcing !== null || arrived === 0) return;
    said.textContent = arrived === 1 ? "1 new delivery" : `${arrived} new deliveries`;
    arrived = 0;
    announcing = setTimeout(() => {
      announcing = null;
      announce();
    }, ANNOUNCED_EVERY);
  }

  function take(event) {
    for (const item of JSON.parse(event.data)) {
      if (shown.get(item.key) === item.row) continue; // a new stream begins with the newest
      if (!paused) {
        show(item);
        continue;
      }
      waiting.delete(item.key);
      waiting.set(item.key, item);
      if (waiting.size > most) waiting.delete(waiting.keys().next().value);
    }
    tell();
    announce();
  }

  function tell(trouble) {
    pause.setAttribute("aria-pressed", String(paused));
    if (trouble) state.textContent = `The store can't be read now: ${trouble}`;
    else if (source === null) state.textContent = "Not live.";
    else if (paused) state.textContent = `Paused; ${waiting.size} waiting.`;
    else state.textContent = "Live.";
  }

  function connect() {
    if (source !== null) return;
    source = new EventSource(list.dataset.stream);
    source.addEventListener("deliveries", take);
    source.addEventListener("trouble", (event) => tell(JSON.parse(event.data)));
    source.addEventListener("open", () => tell());
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
      disconnect();
      state.textContent = "Not live: too many pages are, or you were logged out. Reload this one.";
    });
  }

  function disconnect() {
    source?.close();
    source = null;
    tell();
  }

  pause.addEventListener("click", () => {
    paused = !paused;
    if (!paused) {
      for (const item of waiting.values()) show(item);
      waiting = new Map();
    }
    said.textContent = paused ? "Paused." : "Live again.";
    tell();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", () => document.hidden || connect());
  pause.hidden = false;
})();
