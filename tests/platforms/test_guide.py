"""Every platform has a purpose, what to do there, and sample events that its relay takes."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from admin.events.send import signed
from config.webhooks import load_definitions
from platforms import PLATFORMS
from platforms.base import Platform
from platforms.guide import guides, of_the_same_form, samples, with_rows
from platforms.verifiers import CannotSign, Draft
from relay.app import create_app
from store.open import open_store
from store.sql.event_search import EventFilter
from tests.platforms.test_properties import CANNOT, proof_of
from tests.support.sample import settings_for

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "platforms"


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=PLATFORMS)
def test_every_platform_has_a_guide(platform: Platform) -> None:
    guide = guides()[platform.name]
    assert platform.title
    assert platform.purpose
    assert guide.setup
    readme = (FOLDER / platform.name.replace("-", "_") / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(
        f"# {platform.title}\n\n| proven by | age of the signed time | challenge | delivery id | judged by |\n"
    )


@pytest.mark.parametrize("platform", sorted(set(PLATFORMS) - {"custom"}))
def test_its_readme_links_to_the_specification_that_the_code_follows(platform: str) -> None:
    folder = FOLDER / platform.replace("-", "_")
    readme = (folder / "README.md").read_text(encoding="utf-8")
    code = "".join(
        file.read_text(encoding="utf-8")
        for file in [*FOLDER.glob("table/*.py"), *folder.glob("*.py")]
    )
    link = re.search(r"^\| \[[^]]+\]\((https://[^)]+)\) \|", readme, re.MULTILINE)
    assert link is not None
    assert f"# {link[1]}\n" in code


def test_each_readme_has_the_window_of_a_platform_that_signs_a_time() -> None:
    seconds = {"min": 60, "h": 3600, "d": 86400}
    windows = {}
    for name in PLATFORMS:
        readme = (FOLDER / name.replace("-", "_") / "README.md").read_text(encoding="utf-8")
        if window := re.match(r"\|[^|]*\| (\d+) (min|h|d)\b", readme.splitlines()[4]):
            windows[name] = int(window[1]) * seconds[window[2]]
    assert windows == {
        name: platform.tolerance for name, platform in PLATFORMS.items() if platform.tolerance
    }


def test_the_table_of_all_platforms_is_made_of_their_readmes() -> None:
    page = (ROOT / "docs" / "platforms.md").read_text(encoding="utf-8")
    assert page == with_rows(page), "make docs"
    assert page.count("\n| [`") == len(PLATFORMS)


@pytest.mark.parametrize("text", [*"1479afzAZ", "4711", "ff-00", "Ü"])
def test_what_is_made_anew_is_never_what_it_was(text: str) -> None:
    assert all(of_the_same_form(text) != text for _ in range(500)), (
        "by chance it would be, each tenth or 26th time"
    )


@pytest.mark.parametrize(
    ("platform", "name"),
    [(platform, name) for platform in sorted(PLATFORMS) for name in samples(platform)],
)
def test_a_sample_is_what_the_relay_takes(platform: str, name: str, tmp_path: Path) -> None:
    definition: dict[str, Any] = {
        "name": "hook",
        "platform": platform,
        "receivers": {"flow": "any"},
    }
    definition |= (
        {"headers": {"X-Api-Key": "0123456789abcdef"}}
        if platform == "custom"
        else proof_of(platform)
    )
    settings = settings_for(tmp_path)
    settings.bridge_webhooks.write_text(json.dumps({"webhooks": [definition]}))
    (webhook,) = load_definitions(settings.bridge_webhooks, PLATFORMS, {}).webhooks
    sample = samples(platform)[name]
    headers = {"Content-Type": sample.content_type, **sample.headers}
    url = "https://hooks.example.com/webhook/hook"
    draft = Draft("POST", url, headers, sample.body, time.time())
    if platform in CANNOT:
        with pytest.raises(CannotSign):
            signed(webhook, draft)
        return
    draft = signed(webhook, draft)
    client = create_app(settings).test_client()
    query = draft.url.partition("?")[2]
    answer = client.post(
        "/webhook/hook", data=draft.body, headers=draft.headers, query_string=query
    )
    assert answer.status_code == 200, answer.text
    again = sample.made_anew()
    headers = {"Content-Type": again.content_type, **again.headers}
    draft = signed(webhook, Draft("POST", url, headers, again.body, time.time()))
    query = draft.url.partition("?")[2]
    answer = client.post(
        "/webhook/hook", data=draft.body, headers=draft.headers, query_string=query
    )
    assert answer.status_code == 200, answer.text
    store = open_store(settings.bridge_database)
    assert len(store.queries.events(EventFilter())) == 2, "made anew, it is another event"
