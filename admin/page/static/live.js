// Keeps the page of deliveries up to date. Without it, the page is loaded again.
"use strict";

(() => {
  const list = document.getElementById("deliveries");
  const pause = document.getElementById("pause");
  const state = document.getElementById("state");
  const said = document.getElementById("said");
  const EVERY = 1000; // milliseconds between two looks
  const ANNOUNCED_EVERY = 10000; // milliseconds: a screen reader is told of many deliveries at once
  let tag = ""; // of the rows that were looked at last
  let waiting = null; // while paused: the rows to show then
  let paused = false;
  let arrived = 0;
  let announcing = null;
  let looking = false;
  let timer;

  const keyed = (key) => [...list.children].find((one) => one.dataset.key === key);

  // Rows that stay the same are left alone, for whoever is reading them.
  function show(rows) {
    rows.forEach((row, place) => {
      const there = list.children[place];
      if (there?.dataset.key !== row.dataset.key) {
        if (!keyed(row.dataset.key)) arrived += 1;
        list.insertBefore(row, there ?? null);
      } else if (there.textContent !== row.textContent) {
        const hadFocus = there.contains(document.activeElement);
        there.replaceWith(row);
        if (hadFocus) row.querySelector("a")?.focus();
      }
    });
    while (list.children.length > rows.length) list.lastElementChild.remove();
    announce();
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

  async function look() {
    if (looking) return;
    looking = true;
    let trouble = "";
    try {
      const answer = await fetch(list.dataset.rows, { headers: tag ? { "If-None-Match": tag } : {} });
      if (answer.redirected) trouble = "Not live: you were logged out. Reload this page.";
      else if (answer.ok) {
        const template = document.createElement("template");
        template.innerHTML = await answer.text(); // escaped by the server, as in the page itself
        tag = answer.headers.get("ETag");
        const rows = [...template.content.querySelectorAll("tr")];
        if (paused) waiting = rows;
        else show(rows);
      } else if (answer.status !== 304) trouble = "Not live: the deliveries can't be read now.";
    } catch {
      trouble = "Not live: the server doesn't answer.";
    }
    tell(trouble);
    looking = false;
    if (!document.hidden) timer = setTimeout(look, EVERY);
  }

  function tell(trouble) {
    const number = waiting?.filter((row) => !keyed(row.dataset.key)).length ?? 0;
    state.textContent = trouble || (paused ? `Paused; ${number} waiting.` : "Live.");
  }

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (waiting !== null) show(waiting);
    waiting = null;
    said.textContent = paused ? "Paused." : "Live again.";
    tell("");
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) look();
  });
  pause.hidden = false;
  look();
})();
