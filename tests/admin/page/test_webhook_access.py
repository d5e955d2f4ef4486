"""Who may change webhooks by the page, and what is said where nobody may."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.webhook_page import ADMIN, VIEWER, Page
from tests.support.webhook_page import page as page


def test_who_must_log_in_is_told_of_both_tokens(tmp_path: Path) -> None:
    page = Page(tmp_path, bridge_admin_token=ADMIN, bridge_viewer_token=VIEWER)
    for path in ("/login", "/api/events"):
        text = page.client.get(path).text
        assert "BRIDGE_ADMIN_TOKEN" in text
        assert "BRIDGE_VIEWER_TOKEN" in text


def routes() -> list[tuple[str, dict[str, str]]]:
    return [
        ("/new", {"platform": "github", "do": "create", "name": "x", "receiver": "x"}),
        ("/webhooks/deploys/edit", {"do": "save", "yaml": "x"}),
        ("/webhooks/deploys/secret", {"do": "rotate"}),
        ("/webhooks/deploys/delete", {"confirm": "deploys"}),
        ("/webhooks/deploys/test", {}),
        ("/webhooks/deploys/pause", {"do": "pause"}),
    ]


@pytest.mark.parametrize(("path", "values"), routes())
def test_a_form_of_another_site_changes_nothing(
    page: Page, path: str, values: dict[str, str]
) -> None:
    page.create()
    for evil in (
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert page.client.post(path, data=values, headers=evil).status_code == 403
    assert set(page.defined) == {"deploys"}


def test_without_the_setting_nothing_is_written_and_the_setting_is_named(tmp_path: Path) -> None:
    page = Page(tmp_path, bridge_admin_writes=False)
    (page.folder / "a.yaml").write_text(
        "webhooks:\n- {name: deploys, verifier: none, receivers: {a: any}}\n"
    )
    for path in ("/new", "/webhooks/deploys/edit", "/webhooks/deploys/delete"):
        answer = page.client.get(path)
        assert answer.status_code == 403
        assert "BRIDGE_ADMIN_WRITES=on" in answer.text
    text = page.client.get("/").text
    assert "New webhook" not in text
    assert "To create and edit webhooks here, set <code>BRIDGE_ADMIN_WRITES=on</code>" in text


def test_a_file_instead_of_a_folder_is_said(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text("webhooks: []\n")
    page = Page(tmp_path, bridge_webhooks=file)
    answer = page.client.get("/new")
    assert answer.status_code == 409
    assert "is not a folder: make one" in answer.text
