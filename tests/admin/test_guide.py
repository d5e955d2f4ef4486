"""Every platform has a purpose, what to do there, and sample events that its relay takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from admin.events.send import draft_for, signed
from admin.guide import _FACTS, guides, samples
from admin.markdown import as_html, as_text
from config.webhooks import load_definitions
from platforms import PLATFORMS
from platforms.verifiers import CannotSign
from relay.app import create_app
from store.open import open_store
from store.records import EventFilter
from tests.admin.sample import settings_for
from tests.platforms.test_properties import SECRETS

ROOT = Path(__file__).parents[2]
CANNOT = {"sendgrid", "discord", "aws-sns", "google-pubsub"}


def test_every_platform_is_told_of() -> None:
    assert set(_FACTS) == set(guides()) == set(PLATFORMS)
    for guide in guides().values():
        assert guide.purpose
        assert guide.there, guide.name
        assert "*There*" not in guide.there
        assert "*Here*" not in guide.there


def test_the_texts_are_those_of_the_documentation() -> None:
    documentation = (ROOT / "docs" / "platforms.md").read_text(encoding="utf-8")
    packaged = (ROOT / "admin" / "platforms.md").read_text(encoding="utf-8")
    assert packaged == documentation, "the package has its own copy: cp docs/platforms.md admin/platforms.md"
    flat = " ".join(documentation.split()).lower()
    for guide in guides().values():
        for text in (guide.there, *guide.notes):
            assert " ".join(text.split()).lower()[:60] in flat.replace("*there*: ", ""), guide.name


@pytest.mark.parametrize(
    ("platform", "name"), [(platform, name) for platform in sorted(PLATFORMS) for name in samples(platform)]
)
def test_a_sample_is_what_the_relay_takes(platform: str, name: str, tmp_path: Path) -> None:
    definition: dict[str, Any] = {"name": "hook", "platform": platform, "receivers": {"flow": "any"}}
    if platform == "google-pubsub":
        definition |= {"audience": "a", "service_account": "b@example.com"}
    elif platform == "custom":
        definition |= {"headers": {"X-Api-Key": "0123456789abcdef-secret"}}
    elif platform != "aws-sns":
        definition["secret"] = SECRETS.get(platform, "0123456789abcdef-secret")
    settings = settings_for(tmp_path)
    settings.bridge_webhooks.write_text(json.dumps({"webhooks": [definition]}))
    (webhook,) = load_definitions(settings.bridge_webhooks, PLATFORMS, {}).webhooks
    sample = samples(platform)[name]
    headers = {"Content-Type": sample.content_type, **sample.headers}
    draft = draft_for("https://hooks.example.com/webhook/hook", sample.body, headers)
    if platform in CANNOT:
        with pytest.raises(CannotSign):
            signed(webhook, draft)
        return
    draft = signed(webhook, draft)
    client = create_app(settings, in_background=False).test_client()
    query = draft.url.partition("?")[2]
    answer = client.post("/webhook/hook", data=draft.body, headers=draft.headers, query_string=query)
    assert answer.status_code == 200, answer.text
    store = open_store(settings.bridge_database)
    assert len(store.events(EventFilter())) == 1
    store.close()


def test_nothing_of_a_text_becomes_markup_but_its_few_marks() -> None:
    text = "Set `a<b>`, **now**, *softly*, [there](https://x.example/?a=1&b=2) and [here](javascript:alert(1)) <b>"
    html = as_html(text)
    assert "<code>a&lt;b&gt;</code>" in html
    assert "<strong>now</strong>" in html
    assert "<em>softly</em>" in html
    assert '<a href="https://x.example/?a=1&amp;b=2" rel="noreferrer">there</a>' in html
    assert "javascript" not in html
    assert html.endswith("&lt;b&gt;")
    assert as_text("Set `a`, **now**") == "Set a, now"
