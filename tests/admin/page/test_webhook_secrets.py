"""Secrets by the page: made up, shown once, rotated, and never shown again."""

from __future__ import annotations

import re

import pytest

from tests.support.webhook_page import Page
from tests.support.webhook_page import page as page


def test_a_secret_is_rotated_and_the_old_one_kept_until_it_is_removed(page: Page) -> None:
    page.create()
    answer = page.post("/webhooks/deploys/secret", do="rotate", version=page.version("deploys"))
    shown = re.search(r'id="new-secret" readonly value="([\w-]+)"', answer.text)
    assert shown
    secrets = [secret.get_secret_value() for secret in page.defined["deploys"].secret]
    assert secrets == [shown[1], "9f86d081884c7d659a2feaa0c55ad015"]
    page.post("/webhooks/deploys/secret", do="forget", version=page.version("deploys"))
    assert [secret.get_secret_value() for secret in page.defined["deploys"].secret] == [shown[1]]
    assert len(list((page.folder / "secrets").glob("[!.]*"))) == 1


def test_a_secret_that_the_platform_shows_is_asked_for(page: Page) -> None:
    page.create(platform="slack", secret="")
    assert page.defined["deploys"].secret is None
    assert "Add secret" in page.client.get("/webhooks/deploys").text
    answer = page.post("/webhooks/deploys/secret", do="rotate", version=page.version("deploys"))
    assert answer.status_code == 422
    assert "enter the signing secret that Slack shows" in answer.text
    assert re.search(r'name="secret"[^>]* autofocus', answer.text)
    given = {
        "do": "rotate",
        "version": page.version("deploys"),
        "secret": "8f742231b10e8888abcd99yyyzzz85a5",
    }
    assert (
        "From now on the secret proves its deliveries"
        in page.post("/webhooks/deploys/secret", **given).text
    )
    assert page.defined["deploys"].secret[0].get_secret_value() == given["secret"]
    text = page.client.get("/webhooks/deploys").text
    assert "Rotate" in text
    assert "Add secret" not in text
    answer = page.post("/webhooks/deploys/secret", do="rotate", version=page.version("deploys"))
    assert answer.status_code == 422, "Slack takes none that we make up"


def test_a_webhook_that_is_proven_otherwise_gets_no_secret(page: Page) -> None:
    page.create(platform="custom", name="open", proof="none")
    assert "Add secret" not in page.client.get("/webhooks/open").text
    assert (
        page.post("/webhooks/open/secret", do="rotate", version=page.version("open")).status_code
        == 409
    )


def test_the_value_of_a_header_is_rotated_and_the_old_one_is_good_until_it_is_removed(
    page: Page,
) -> None:
    page.create(platform="custom", name="one", header="X-Api-Key")
    assert "New value of the header X-Api-Key" in page.client.get("/webhooks/one").text

    def values() -> list[str]:
        return [value.get_secret_value() for value in page.defined["one"].headers["X-Api-Key"]]

    [old] = values()
    rotated = page.post(
        "/webhooks/one/secret", do="rotate", header="X-Api-Key", version=page.version("one")
    )
    new, kept = values()
    assert (kept, len(new)) == (old, 43)
    assert new in rotated.text, "it was made up here, so somebody must be told"
    page.post("/webhooks/one/secret", do="forget", header="X-Api-Key", version=page.version("one"))
    assert values() == [new]
    assert (
        page.post(
            "/webhooks/one/secret", do="rotate", header="X-No", version=page.version("one")
        ).status_code
        == 409
    )


def test_urls_that_nothing_signs_have_no_secret_to_rotate(page: Page) -> None:
    made = page.create(platform="custom", name="open", proof="callback", more="callback: {by: id}")
    assert page.defined["open"].callback.secret is None
    assert "Nothing to rotate" in made.text
    assert (
        page.post("/webhooks/open/secret", do="rotate", version=page.version("open")).status_code
        == 409
    )
    wrong = page.create(
        platform="custom", name="other", proof="callback", more="callback: {by: id, expires: 1d}"
    )
    assert 'id="more-error"' in wrong.text
    wrong = page.create(platform="custom", name="other", proof="callback", start="on_push")
    assert "starts nothing" in wrong.text


@pytest.mark.parametrize(("encoding", "length"), [("base64", 44), ("hex", 64)])
def test_a_made_up_secret_is_a_key_in_the_encoding_that_the_signature_needs(
    page: Page, encoding: str, length: int
) -> None:
    (page.folder / "a.yaml").write_text(
        "webhooks:\n- name: signed\n  receivers: {a: any}\n  signature:\n    header: X-Sig\n"
        f"    key_encoding: {encoding}\n    secret: {'ab' * 32}\n"
    )
    page.post("/webhooks/signed/secret", do="rotate", version=page.version("signed"))
    new, _ = page.defined["signed"].signature.secret
    assert len(new.get_secret_value()) == length


def test_a_word_before_a_header_s_token_stays_before_the_new_one(page: Page) -> None:
    (page.folder / "a.yaml").write_text(
        "webhooks:\n- name: alerts\n  receivers: {a: any}\n  headers: {Authorization: 'Bearer ${file:token}'}\n"
    )
    (page.folder / "token").write_text("9f86d081884c7d659a2feaa0c55ad015")
    page.post(
        "/webhooks/alerts/secret",
        do="rotate",
        header="Authorization",
        version=page.version("alerts"),
    )
    new, old = page.defined["alerts"].headers["Authorization"]
    assert new.get_secret_value().startswith("Bearer ")
    assert old.get_secret_value() == "Bearer 9f86d081884c7d659a2feaa0c55ad015"


def test_a_webhook_that_nothing_proves_shows_no_secret_and_its_risk(page: Page) -> None:
    made = page.create(platform="custom", name="open", proof="none")
    assert "9f86d081884c7d659a2feaa0c55ad015" not in made.text
    assert 'id="new-secret"' not in made.text
    assert "deliveries are not verified" in made.text
    assert "deliveries are not verified" in page.client.get("/webhooks/open").text
