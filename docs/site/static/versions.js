// Offers the site's other versions, which ../versions.json lists: ["latest", "v0.2.0", "v0.1.0"].
const root = new URL(document.documentElement.dataset.content_root || "./", location.href);
const current = root.pathname.split("/").at(-2);

fetch(new URL("../versions.json", root))
  .then((response) => (response.ok ? response.json() : Promise.reject(response.status)))
  .then((versions) => {
    const label = document.querySelector(".sidebar-versions");
    const select = label.querySelector("select");
    for (const version of versions) {
      select.add(new Option(version, version, false, version === current));
    }
    // To the other version's first page: this one may be missing there.
    select.addEventListener("change", () => location.assign(new URL(`../${select.value}/`, root)));
    label.hidden = false;
  })
  .catch(() => {}); // a site of one version, or opened from a file
