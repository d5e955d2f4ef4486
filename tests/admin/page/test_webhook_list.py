"""The list of webhooks: what needs attention first, sorted as asked, page by page."""

from __future__ import annotations

import re
from pathlib import Path

from flask.testing import FlaskClient

from tests.support.sample import Sample


def listed(client: FlaskClient, query: str = "") -> list[str]:
    """The webhooks of the page, in order."""
    return re.findall(r'<a href="/webhooks/([^"]+)"><b>', client.get(f"/{query}").text)


def test_what_needs_attention_comes_first(client: FlaskClient) -> None:
    assert listed(client) == ["github-deploys", "orders", "slack"]
    assert listed(client, "?sort=name") == ["github-deploys", "orders", "slack"]
    assert listed(client, "?sort=rejected")[0] == "orders"
    assert client.get("/?sort=other").status_code == 400


def test_a_page_has_twenty_five_and_leads_on(client: FlaskClient, sample: Sample) -> None:
    entries = [f"  - {{name: w{n:02}, verifier: none, receivers: {{f: any}}}}\n" for n in range(30)]
    Path(sample.folder, "webhooks.yaml").write_text("webhooks:\n" + "".join(entries))
    assert listed(client, "?sort=name") == [f"w{n:02}" for n in range(25)]
    assert listed(client, "?sort=name&page=2") == [f"w{n:02}" for n in range(25, 30)]
    assert listed(client, "?sort=name&page=9") == listed(client, "?sort=name&page=2")
    assert 'href="/?sort=name&amp;page=2#webhooks">Next</a>' in client.get("/?sort=name").text
    assert listed(client, "?name=W07") == ["w07"]
