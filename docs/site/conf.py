"""How Sphinx makes a site of README.md, CHANGELOG.md, docs/ and the platforms' pages: `make
docs-site`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.release.files import current_version  # noqa: E402
from tools.release.site import copy_mermaid  # noqa: E402

project = html_title = "Conductor Webhook Bridge"
version = release = current_version(ROOT)

# Pages keep their places, so that their links lead to the same as on a code host.
include_patterns = ["*.md", "docs/**.md", "platforms/*/README.md"]
exclude_patterns = [".*", "build", "data"]
extensions = ["myst_parser", "sphinx_external_toc", "sphinx_llms_txt"]
external_toc_path = "docs/site/contents.yml"
myst_heading_anchors = 4
# A console's text in quotes may go over several lines, and names of languages may be anything:
# neither is a mistake.
suppress_warnings = ["misc.highlighting_failure"]

# For assistants: llms.txt names every page, llms-full.txt holds them all.
llms_txt_title = project
llms_txt_summary = (
    "Webhooks for Conductor OSS: verifies and stores events, and completes WAIT_FOR_WEBHOOK tasks."
)
llms_txt_uri_template = "_sources/{docname}{suffix}{sourcelink_suffix}"

html_theme = "furo"
html_show_sourcelink = False
html_static_path = ["static"]
html_js_files = ["versions.js"]
templates_path = ["templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/versions.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}

# Without npm the diagrams stay text. Mermaid is served with the site: its pages ask no other host
# for anything.
_mermaid = tempfile.TemporaryDirectory(prefix="mermaid-")
if copy_mermaid(Path(_mermaid.name)):
    extensions.append("sphinxcontrib.mermaid")
    myst_fence_as_directive = ["mermaid"]
    html_static_path.append(_mermaid.name)
    mermaid_use_local = "mermaid.esm.min.mjs"
    mermaid_fullscreen = False
    mermaid_height = "auto"
