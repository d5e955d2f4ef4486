// Comforts of the pages that show no payload: the zone of times, copying, a search among platforms. They work without it.
"use strict";

(() => {
  // Where a form has led to a page, loading it again asks for the page, and posts nothing again.
  const canonical = document.querySelector("link[rel=canonical]");
  if (canonical) history.replaceState(null, "", canonical.href);

  // The server writes times as this cookie's zone has them, from the next page on.
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  document.cookie = `zone=${timeZone}; path=/; max-age=31536000; samesite=strict`;
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
    const found = () => document.querySelectorAll(".platforms li:not([hidden]) a");
    search.hidden = search.labels[0].hidden = false;
    search.focus();
    search.addEventListener("input", () => {
      const words = search.value.toLowerCase();
      for (const item of document.querySelectorAll(".platforms li")) {
        item.hidden = !item.textContent.toLowerCase().includes(words);
      }
      document.getElementById("no-platform").hidden = found().length > 0;
    });
    const isMeant = (link) => link.textContent.toLowerCase().startsWith(search.value.toLowerCase());
    search.addEventListener("keydown", (event) => event.key === "Enter" && ([...found()].find(isMeant) ?? found()[0])?.click());
  }
})();
