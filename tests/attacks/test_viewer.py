"""What a viewer, or whoever types into the page, might get at: nothing that is another's secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from admin.events.send import Answer
from admin.page import webhooks
from admin.page.app import create_app
from platforms.verifiers import Draft
from store.open import open_store
from store.records import Task
from tests.attacks.page import SECRET, STRONG
from tests.attacks.page import page as page
from tests.support.deciding import adopt
from tests.support.makers import ME
from tests.support.sample import HOSTILE, settings_for
from tests.support.webhook_page import Page


def test_edit_shows_no_inline_secret_after_an_error_either(page: Page) -> None:
    file = page.folder / "mine.yaml"
    file.write_text(
        f"webhooks:\n  - name: mine\n    headers: {{X-Api-Key: {SECRET}}}\n    signature:\n      secret: {SECRET}\n"
        "      header: X-Signature\n    receivers: {flow: any}\n"
    )
    version = page.version("mine")
    texts = [page.client.get(path).text for path in ("/webhooks/mine", "/webhooks/mine/edit")]
    for do in ("save", "check"):
        for yaml in (
            "name: mine\nstarts: [{workflow: w, version: x}]",
            "name: mine\nhold: soon",
            "- a",
        ):
            texts.append(page.post("/webhooks/mine/edit", do=do, version=version, yaml=yaml).text)
    file.write_text(file.read_text() + "    hold: 1m\n")
    texts.append(
        page.post("/webhooks/mine/edit", do="save", version=version, yaml="name: mine").text
    )
    assert "somebody else has changed mine" in texts[-1]
    for text in texts:
        assert SECRET not in text
        assert "mine" in text


def test_deleting_a_webhook_removes_no_secret_that_isnt_its_own(page: Page) -> None:
    (page.folder / "shared.yaml").write_text(
        "webhooks:\n"
        "  - {name: one, platform: github, secret: '${file:secrets/other}', receivers: {a: any}}\n"
        "  - {name: two, platform: github, secret: '${file:./secrets/one.secret-0123abcd}', receivers: {a: any}}\n"
        "  - {name: three, platform: github, secret: '${file:secrets/one.secret-0123abcd}', receivers: {a: any}}\n"
    )
    (page.folder / "secrets" / "one.secret-0123abcd").write_text(STRONG)
    for name in ("one", "three"):
        page.post(f"/webhooks/{name}/delete", confirm=name, version=page.version(name))
    assert set(page.defined) == {"two"}
    assert (page.folder / "secrets" / "other").exists(), "nobody made it here"
    assert (page.folder / "secrets" / "one.secret-0123abcd").exists(), (
        "another webhook still names it"
    )
    page.post("/webhooks/two/delete", confirm="two", version=page.version("two"))
    page.create()
    [own] = [
        path for path in (page.folder / "secrets").iterdir() if path.name.startswith("deploys.")
    ]
    page.post("/webhooks/deploys/delete", confirm="deploys", version=page.version("deploys"))
    assert not own.exists()


def test_a_test_event_goes_to_the_relay_whatever_the_definition_says(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[tuple[str, Draft]] = []

    def post(url: str, draft: Draft, wait: float) -> Answer:
        posted.append((url, draft))
        return Answer(200, b'{"eventId": "e1", "secret": "of-the-cloud", "message": "<b>\\u202e"}')

    monkeypatch.setattr(webhooks, "post", post)
    page.create(more="public_url: http://169.254.169.254/latest/meta-data")
    text = page.post("/webhooks/deploys/test", sample="push").text
    [(url, draft)] = posted
    assert url == "https://hooks.example.com/webhook/deploys", "BRIDGE_PUBLIC_URL is the operator's"
    assert draft.url == "http://169.254.169.254/latest/meta-data", (
        "it is signed as the platform would know it"
    )
    assert "200 OK" in text
    assert "eventId e1" in text
    assert "of-the-cloud" not in text
    assert "\u202e" not in text
    assert "&lt;b&gt;" in text


@pytest.mark.parametrize(
    "body", [b"[" * 30_000, b'{"a":' * 30_000, b"\xff", b"{", b"1" * 5000, b"NaN", b""]
)
def test_no_body_makes_the_api_fail(page: Page, body: bytes) -> None:
    for method, path in (
        ("POST", "/token"),
        ("POST", "/metadata/webhook"),
        ("PUT", "/metadata/webhook/x/tags"),
    ):
        answer = page.client.open(
            f"/api{path}", method=method, data=body, content_type="application/json"
        )
        assert answer.status_code in (400, 404, 413), (path, answer.status_code)


@pytest.mark.parametrize(
    "more", ["unknown: 1", "1: 2", "? [a]\n: b", "hold: {a: b}", "? {a: b}\n: c", "only: 1", "a"]
)
def test_no_further_setting_makes_the_form_fail(page: Page, more: str) -> None:
    page.create()
    version = page.version("deploys")
    for do in ("save", "check", ""):
        answer = page.post("/webhooks/deploys/edit", do=do, version=version, yaml=more, unknown="x")
        assert answer.status_code in (200, 422)
        assert page.create(name="other", more=more, do=do or "check", unknown="x").status_code in (
            200,
            422,
        )


@pytest.mark.parametrize("name", ["\u202egnp.exe", "\x1b[2J", "a\u2066b", "\x00"])
def test_no_control_character_of_a_name_reaches_a_title_or_a_picture(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "webhooks.yaml").write_text("webhooks: []")
    settings = settings_for(tmp_path)
    store = open_store(settings.bridge_database)
    assert store.leadership.elect("me", 10**6)
    adopt(
        store, ME, [Task("t", "w", f"flow{name}", f"ref{name}", {"$.a": HOSTILE["control"]}, 0)], 1
    )
    client = create_app(settings).test_client()
    for path in (
        "/",
        "/tasks",
        "/tasks/t",
        f"/events?webhook={name}",
        f"/rejections?webhook={name}",
    ):
        text = client.get(path).text
        shown = re.sub(r'(?:value|href)="[^"]*"', "", text)  # what is sent again stays as it is
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", shown), path
