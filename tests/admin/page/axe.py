"""Whether a page is accessible: by axe-core, from npm, and by the contrast of its texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import browser
from tools.servers.npm import npm_package

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SHOWN = {
    "in the light": (1280, "light", True),
    "in the dark": (1280, "dark", False),
    "on a phone": (360, "dark", True),
}
"""Width, scheme, and whether axe-core looks too, if the page is laid out differently there: the
dark scheme changes nothing but colours, and most pages have the same elements on a phone."""

_CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
_CHECK = """
const [done] = arguments;
const options = {resultTypes: ["violations"], selectors: false, rules: {"color-contrast": {enabled: false}}};
const html = violation => violation.nodes.slice(0, 3).map(node => node.html.slice(0, 150));
axe.run(document, options).then(
  found => done(Object.fromEntries(found.violations.map(violation => [violation.id, html(violation)]))),
  error => done({error: [String(error)]}),
);
"""
"""What passes would take most of the time: for each rule and element it is described, and sent
here. So would its rule on contrast, which asks for each element what is painted behind it;
contrast.js knows by the styles."""

_LAYOUT = """
return [...document.querySelectorAll("*")].map(element => {
  const {display, position, visibility, overflowX} = getComputedStyle(element);
  const floats = ["absolute", "fixed"].includes(position);
  const scrolls = overflowX !== "visible" && element.scrollWidth > element.clientWidth;
  return [display, floats, visibility, scrolls].join(" ");
}).join();
"""
"""What a width may change of all that axe's rules look at: which elements are seen, what they are,
and which scroll."""


def script() -> tuple[str | None, str]:
    """The checker's source, or None and why it can't be had."""
    folder, reason = npm_package("axe-core", "4.11.0")
    return (folder / "axe.min.js").read_text(encoding="utf-8") if folder else None, reason


def faint(driver: Chrome) -> list[str]:
    """The texts of the page that is shown now whose contrast is too low, as "text: ratio"."""
    found: list[str] = driver.execute_script(_CONTRAST)
    return found


def faults(driver: Chrome, checker: str) -> dict[str, dict[str, list[str]]]:
    """What is wrong with the page that is shown now, by how it is shown: the first elements, by
    rule."""
    found = {}
    driver.execute_script(checker)
    checked: set[str] = set()
    shown: tuple[int, str] | None = None
    for how, (width, scheme, is_checked) in SHOWN.items():
        # Each of these lays the page out anew, even if nothing changes.
        if shown is None or shown[0] != width:
            browser.resize(driver, width, 900)
        if shown is None or shown[1] != scheme:
            feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        shown = width, scheme
        wrong: dict[str, list[str]] = {}
        if is_checked and (layout := driver.execute_script(_LAYOUT)) not in checked:
            checked.add(layout)
            wrong = driver.execute_async_script(_CHECK)
        if texts := faint(driver):
            wrong["contrast"] = texts
        if driver.execute_script("return document.documentElement.scrollWidth") > width:
            wrong["too wide"] = []
        if wrong:
            found[how] = wrong
    return found
