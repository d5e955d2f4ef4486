// Comforts of the pages that show no payload: local times, copying, a search among platforms. They work without it.
"use strict";

(() => {
  // Where a form has led to a page, loading it again asks for the page, and posts nothing again.
  const canonical = document.querySelector("link[rel=canonical]");
  if (canonical) history.replaceState(null, "", canonical.href);

  const local = (time) => {
    const here = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
    time.title = `${here}, ${time.dateTime}`;
  };
  document.querySelectorAll("time").forEach(local);
  const live = document.getElementById("deliveries");
  if (live) new MutationObserver(() => live.querySelectorAll("time:not([title])").forEach(local)).observe(live, { childList: true });

  for (const field of document.querySelectorAll("input.copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "second";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${field.labels[0]?.textContent ?? "this"}`);
    button.addEventListener("click", async () => {
      field.select();
      await navigator.clipboard?.writeText(field.value); // only where the page is served by https or on this machine
      button.textContent = navigator.clipboard ? "Copied" : "Press Ctrl-C";
    });
    field.after(button);
  }

  const search = document.getElementById("search-platforms");
  if (search) {
    search.hidden = search.labels[0].hidden = false;
    search.addEventListener("input", () => {
      const words = search.value.toLowerCase();
      for (const item of document.querySelectorAll(".platforms li")) {
        item.hidden = !item.textContent.toLowerCase().includes(words);
      }
    });
  }
})();
