"""The documentation site: it builds without a warning, its links lead somewhere, and it asks no
other host."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("sphinx", reason="the extra docs is not installed: pip install -e '.[dev]'")

from tools.release.site import build_site
from tools.servers.processes import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site where version 0.9.0 was published before; warnings of Sphinx would be errors."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "v0.9.0").mkdir()
    build_site(ROOT, folder, "v0.10.0")
    return folder


def test_each_version_has_a_folder_and_the_first_page_leads_to_the_latest(site: Path) -> None:
    assert json.loads((site / "versions.json").read_text()) == ["latest", "v0.10.0", "v0.9.0"]
    assert (site / "v0.10.0" / "docs" / "quickstart.html").read_text() == (
        site / "latest" / "docs" / "quickstart.html"
    ).read_text()
    assert 'url=latest/"' in (site / "index.html").read_text()


def test_every_page_of_the_documentation_is_on_the_site_and_can_be_searched(site: Path) -> None:
    pages = [path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 20
    assert [
        page for page in pages if not (site / "latest" / page).with_suffix(".html").exists()
    ] == []
    assert "docs/recipes/chatbot" in (site / "latest" / "searchindex.js").read_text()


def test_links_within_the_site_lead_somewhere(site: Path) -> None:
    latest = site / "latest"
    texts = {page: page.read_text(encoding="utf-8") for page in latest.rglob("*.html")}
    anchors = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in texts.items()}
    checked = 0
    for page, text in texts.items():
        for link in re.findall(r'<(?:a|img|script|link)\b[^>]*?\b(?:href|src)="([^"]+)"', text):
            target = urlsplit(link)
            if target.scheme:
                continue
            file = (page.parent / unquote(target.path)).resolve() if target.path else page
            assert file.is_file(), f"{page.relative_to(latest)} links to {link}"
            if target.fragment and file in anchors and file.name != "genindex.html":
                assert unquote(target.fragment) in anchors[file], (
                    f"{page.relative_to(latest)} links to {link}"
                )
            checked += 1
    assert checked > 1000


def test_assistants_find_every_page_by_llms_txt(site: Path) -> None:
    latest = site / "latest"
    sources = re.findall(r"\]\(([^)]+)\)", (latest / "llms.txt").read_text())
    assert len(sources) == len(list(latest.joinpath("_sources").rglob("*.md.txt")))
    assert [source for source in sources if not (latest / source).exists()] == []


def test_pages_load_nothing_from_another_host(site: Path) -> None:
    loads = re.compile(
        r'<(?:script|img|iframe|source)\b[^>]*?\bsrc="((?:https?:)?//[^"]+)"'
        r'|<link\b[^>]*?\bhref="((?:https?:)?//[^"]+)"'
        r'|\b(?:import|from)\s*\(?"((?:https?:)?//[^"]+)"'
        r'|url\(["\']?((?:https?:)?//[^)]+)\)'
    )
    for file in (site / "latest").rglob("*"):
        if file.suffix in (".html", ".css"):
            assert loads.findall(file.read_text(encoding="utf-8")) == [], file
