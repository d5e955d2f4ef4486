"""Webhooks by the page: from an empty folder to a verified webhook, with every mistake said beside its field."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from admin.definitions import writer as definitions_writer
from admin.page import webhooks
from admin.page.app import create_app
from config.webhooks import load_definitions
from platforms import PLATFORMS
from platforms.verifiers import Draft
from relay.app import create_app as create_relay
from tests.admin.sample import settings_for

ADMIN, VIEWER = "the-token-of-admins", "the-token-of-viewers"


class Page:
    """The admin page of an empty folder that may be written."""

    def __init__(self, folder: Path, **more: Any):
        self.folder = folder / "webhooks"
        self.folder.mkdir(exist_ok=True)
        self.settings = settings_for(folder, **{"bridge_webhooks": self.folder, "bridge_admin_writes": True, **more})
        self.client: FlaskClient = create_app(self.settings).test_client()

    def token(self, path: str = "/") -> str:
        match = re.search(r'name="form_token" value="([\w-]+)"', self.client.get(path).text)
        return match[1] if match else ""

    def post(self, path: str, **values: Any) -> TestResponse:
        values.setdefault("form_token", self.token("/new?platform=github"))
        answer = self.client.post(path, data=values)
        to = answer.headers.get("Location", "")
        return self.client.get(to) if "?note=" in to else answer

    def version(self, name: str) -> str:
        match = re.search(r'name="version" value="(\w+)"', self.client.get(f"/webhooks/{name}/edit").text)
        assert match
        return match[1]

    def create(self, **values: Any) -> TestResponse:
        given = {"do": "create", "platform": "github", "name": "deploys", "receivers": "deploy"}
        return self.post("/new", **{**given, "secret": "9f86d081884c7d659a2feaa0c55ad015", **values})

    @property
    def defined(self) -> dict[str, Any]:
        return load_definitions(self.folder, PLATFORMS, dict(os.environ), may_be_empty=True).by_name


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


@pytest.fixture
def relay(page: Page, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Draft]]:
    """A relay of the same folder, reached without a network; what was posted to it."""
    posted: list[Draft] = []

    def post(url: str, draft: Draft, wait: float) -> Any:
        posted.append(draft)
        client = create_relay(page.settings, in_background=False).test_client()
        path = url.removeprefix("https://hooks.example.com")
        answer = client.open(path, method=draft.method, data=draft.body, headers=draft.headers)
        return webhooks.Answer(answer.status_code, answer.data)

    monkeypatch.setattr(webhooks, "post", post)
    yield posted


def test_every_platform_says_what_it_is_for_and_has_a_form(page: Page) -> None:
    text = page.client.get("/new").text
    for name in PLATFORMS:
        assert f"/new?platform={name}" in text
        assert page.client.get(f"/new?platform={name}").status_code == 200


def test_from_an_empty_folder_to_a_verified_webhook(page: Page, relay: list[Draft]) -> None:
    assert "Create the first one" in page.client.get("/").text
    form = page.client.get("/new?platform=github").text
    secret = re.search(r'id="secret"[^>]*value="([\w-]{40,})"', form)
    assert secret, "a secret is made up"
    made = page.create(
        secret=secret[1],
        start_workflow_0="on_push",
        start_when_0="$._webhook.headers['x-github-event']: push",
    )
    assert made.status_code == 200
    assert "https://hooks.example.com/webhook/deploys" in made.text
    assert secret[1] in made.text, "it is shown once, to be entered at the platform"
    assert "Unverified" in made.text
    assert page.defined["deploys"].starts[0].when == {"$._webhook.headers['x-github-event']": "push"}
    assert made.request.path == "/webhooks/deploys", "loading it again posts nothing again"
    assert secret[1] in page.client.get(f"{made.request.path}?{made.request.query_string.decode()}").text
    again = page.client.get("/webhooks/deploys").text
    assert secret[1] not in again
    tested = page.post("/webhooks/deploys/test", sample="push")
    assert "The webhook is Verified" in tested.text
    assert relay[0].headers["X-GitHub-Event"] == "push"
    assert "Verified" in page.client.get("/webhooks/deploys").text
    changes = page.client.get("/changes").text
    assert "created" in changes
    assert "tested" in changes


def test_mistakes_are_said_beside_the_field_and_nothing_typed_is_lost(page: Page) -> None:
    answer = page.create(
        name="no spaces",
        receivers="deploy: first",
        start_workflow_0="",
        start_version_0="latest",
        start_when_0="$[: 1",
        more="holdd: 5m",
        secret="kept-secret-0123456789",
    )
    assert answer.status_code == 422
    for field in ("name", "receivers", "start_workflow_0", "start_version_0", "start_when_0", "more"):
        assert f'id="{field}-error"' in answer.text, field
        assert re.search(rf'id="{field}"[^>]*aria-invalid="true"', answer.text), field
    for typed in ("no spaces", "deploy: first", "latest", "$[: 1", "holdd: 5m", "kept-secret-0123456789"):
        assert typed in answer.text
    assert not list(page.folder.iterdir())


def test_the_check_says_what_check_says(page: Page) -> None:
    answer = page.create(do="check", secret="short", receivers="")
    assert "neither `receivers` nor `starts`" in answer.text
    assert "a short secret, which can be guessed" in page.create(do="check", secret="short").text
    assert not list(page.folder.iterdir())
    assert "${file:secrets/" in page.create(do="check").text


def test_a_folder_that_cannot_be_written_is_said_and_nothing_typed_is_lost(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.create(name="old")
    version = page.version("old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(definitions_writer.DefinitionsFolder, "_write", full)
    answers = (
        page.create(receivers="typed_by_me"),
        page.post("/webhooks/old/edit", do="save", version=version, receivers="typed_by_me"),
    )
    for answer in answers:
        assert answer.status_code == 409
        assert "No space left on device" in answer.text
        assert "typed_by_me</textarea>" in answer.text


def test_a_name_that_is_taken_is_said(page: Page) -> None:
    assert page.create().status_code == 200
    answer = page.create()
    assert answer.status_code == 422
    assert "choose another name" in answer.text


def test_an_edit_keeps_the_rest_of_the_file(page: Page) -> None:
    page.create()
    file = page.folder / "deploys.yaml"
    file.write_text(file.read_text().replace("platform: github", "platform: github  # ours\n    public_url: ${URL}"))
    answer = page.post(
        "/webhooks/deploys/edit",
        do="save",
        version=page.version("deploys"),
        receivers="deploy: 1, 2\nrelease",
        more="public_url: ${URL}\n",
    )
    assert answer.status_code == 303
    text = file.read_text()
    assert "# ours" in text
    assert "public_url: ${URL}" in text
    file.write_text(text.replace("    public_url: ${URL}\n", ""))
    assert page.defined["deploys"].receivers == {"deploy": frozenset({1, 2}), "release": None}


def test_what_the_form_has_no_field_for_is_kept(page: Page) -> None:
    (page.folder / "a.yaml").write_text(
        "webhooks:\n- name: deploys\n  verifier: none\n  receivers: {r: any}\n  starts:\n"
        "  - {workflow: s, unless: taken, when: {$.a: {$in: [1, 2]}}}\n"
    )
    values = {
        "receivers": "r",
        "start_workflow_0": "s",
        "start_when_0": "$.a: {$in: [1, 2, 3]}",
        "start_workflow_1": "t",
    }
    answer = page.post("/webhooks/deploys/edit", do="save", version=page.version("deploys"), **values)
    assert answer.status_code == 303
    one, other = page.defined["deploys"].starts
    assert (one.unless, one.when) == ("taken", {"$.a": {"$in": [1, 2, 3]}})
    assert other.workflow == "t"


def test_the_input_of_a_start_is_written_and_shown_for_the_newest_event(page: Page, relay: list[Draft]) -> None:
    page.create(
        start_workflow_0="on_push", start_input_0="branch: $.ref\nfrom: {text: $$.ref, n: 1}", more="hide: [$.pusher]"
    )
    given = {"branch": "$.ref", "from": {"text": "$$.ref", "n": 1}}
    assert page.defined["deploys"].starts[0].input == given
    assert "Inputs" not in page.client.get("/webhooks/deploys").text, "there is no event yet"
    page.post("/webhooks/deploys/test", sample="push")
    text = unescape(page.client.get("/webhooks/deploys").text)
    assert '"branch": "refs/heads/' in text
    assert '"text": "$.ref"' in text
    values = {"receivers": "deploy", "start_workflow_0": "on_push", "start_input_0": "who: $.pusher.name"}
    version = page.version("deploys")
    tried = unescape(
        page.post("/webhooks/deploys/edit", do="check", version=version, more="hide: [$.pusher]", **values).text
    )
    assert '"who": "***"' in tried
    assert page.defined["deploys"].starts[0].input == given, "nothing was saved"


@pytest.mark.parametrize("given", ["x: $5", "- $.a", "x: $.[", "$.a"])
def test_a_wrong_input_is_told_at_its_field(page: Page, given: str) -> None:
    answer = page.create(start_workflow_0="on_push", start_input_0=given)
    assert answer.status_code == 422
    assert 'id="start_input_0-error"' in answer.text


def test_an_empty_input_stays_empty_when_another_start_is_edited(page: Page) -> None:
    (page.folder / "a.yaml").write_text(
        "webhooks:\n- name: deploys\n  verifier: none\n  starts:\n  - {workflow: s, input: {}}\n  - workflow: t\n"
    )
    text = page.client.get("/webhooks/deploys/edit").text
    assert re.search(r'id="start_input_0"[^>]*>{}</textarea>', text)
    values = {"start_workflow_0": "s", "start_input_0": "{}", "start_workflow_1": "u"}
    page.post("/webhooks/deploys/edit", do="save", version=page.version("deploys"), **values)
    assert [(start.workflow, start.input) for start in page.defined["deploys"].starts] == [("s", {}), ("u", None)]


def test_two_who_edit_at_once_are_told(page: Page) -> None:
    page.create()
    version = page.version("deploys")
    assert page.post("/webhooks/deploys/edit", do="save", version=version, receivers="one").status_code == 303
    answer = page.post("/webhooks/deploys/edit", do="save", version=version, receivers="two")
    assert answer.status_code == 409
    assert "nothing was overwritten" in answer.text
    assert re.search(r">two</textarea>", answer.text), "what was typed is kept"
    assert set(page.defined["deploys"].receivers) == {"one"}
    assert page.post("/webhooks/deploys/delete", confirm="deploys", version=version).status_code == 409
    assert "deploys" in page.defined


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
    given = {"do": "rotate", "version": page.version("deploys"), "secret": "8f742231b10e8888abcd99yyyzzz85a5"}
    assert "From now on the secret proves its deliveries" in page.post("/webhooks/deploys/secret", **given).text
    assert page.defined["deploys"].secret[0].get_secret_value() == given["secret"]
    text = page.client.get("/webhooks/deploys").text
    assert "Rotate" in text
    assert "Add secret" not in text
    answer = page.post("/webhooks/deploys/secret", do="rotate", version=page.version("deploys"))
    assert answer.status_code == 422, "Slack takes none that we make up"


def test_a_webhook_that_is_proven_otherwise_gets_no_secret(page: Page) -> None:
    page.create(platform="custom", name="open", proof="none")
    assert "Add secret" not in page.client.get("/webhooks/open").text
    assert page.post("/webhooks/open/secret", do="rotate", version=page.version("open")).status_code == 409


def test_enter_in_a_field_presses_the_main_button(page: Page) -> None:
    page.create()
    for path, main in (("/new?platform=github", "create"), ("/webhooks/deploys/edit", "save")):
        form = page.client.get(path).text.partition('<form method="post"')[2].partition('class="big"')[2]
        first = re.search(r'<button name="do" value="(\w+)"', form)
        assert first
        assert first[1] == main


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "no spaces", "more": "odd: 1"}, "name"),
        ({"receivers": "a: first", "start_version_0": "x"}, "receivers"),
        ({"start_workflow_0": "a", "start_version_0": "x", "start_when_0": "$["}, "start_version_0"),
        ({"more": "odd: 1"}, "more"),
    ],
)
def test_the_first_mistake_has_the_focus(page: Page, values: dict[str, str], field: str) -> None:
    text = page.create(**values).text
    assert re.findall(r'id="(\w+)"[^>]* autofocus', text) == [field]
    assert text.count("autofocus") == 1


@pytest.mark.parametrize("what", ["test", "secret", "pause", "run"])
def test_an_address_that_takes_only_forms_leads_to_the_webhook(page: Page, what: str) -> None:
    page.create()
    answer = page.client.get(f"/webhooks/deploys/{what}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/webhooks/deploys")


def test_a_note_is_for_the_session_that_caused_it(tmp_path: Path) -> None:
    page = Page(tmp_path, bridge_admin_token=ADMIN, bridge_viewer_token=VIEWER)
    page.client.post("/login", data={"token": ADMIN})
    made = page.create()
    assert "9f86d081884c7d659a2feaa0c55ad015" in made.text
    for token in (ADMIN, VIEWER):
        other = page.client.application.test_client()
        other.post("/login", data={"token": token})
        text = other.get(f"{made.request.path}?{made.request.query_string.decode()}").text
        assert "Unverified" in text
        assert "9f86d081884c7d659a2feaa0c55ad015" not in text


def test_who_must_log_in_is_told_of_both_tokens(tmp_path: Path) -> None:
    page = Page(tmp_path, bridge_admin_token=ADMIN, bridge_viewer_token=VIEWER)
    for path in ("/login", "/api/events"):
        text = page.client.get(path).text
        assert "BRIDGE_ADMIN_TOKEN" in text
        assert "BRIDGE_VIEWER_TOKEN" in text


def test_a_test_event_waits_until_the_relay_has_read_a_new_secret(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.create()
    answers = [webhooks.Answer(401, b"{}"), webhooks.Answer(200, b"{}"), webhooks.Answer(401, b"{}")]
    monkeypatch.setattr(webhooks, "post", lambda url, draft, wait: answers.pop(0))
    slept: list[float] = []
    monkeypatch.setattr(webhooks.time, "sleep", slept.append)
    os.utime(page.folder / "deploys.yaml", (2**33, 2**33))  # on a clock that is wrong
    assert "The relay answered 200 OK" in page.post("/webhooks/deploys/test", sample="push").text
    assert [0 < seconds <= 5 for seconds in slept] == [True]
    os.utime(page.folder / "deploys.yaml", (1, 1))
    assert "The relay answered 401" in page.post("/webhooks/deploys/test", sample="push").text
    assert len(slept) == 1


def test_a_duplicate_is_not_shown_as_a_success(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.create()
    answer = webhooks.Answer(200, b'{"eventId": "e1", "duplicate": true}')
    monkeypatch.setattr(webhooks, "post", lambda url, draft, wait: answer)
    text = page.post("/webhooks/deploys/test", sample="push").text
    assert "It is a duplicate" in text
    assert '<div class="notice warning" role="status"><p><b>test</b>' in text
    assert "The webhook is Verified" not in text


def test_who_deletes_a_paused_webhook_is_told_that_its_name_stays_paused(page: Page) -> None:
    page.create()
    assert "stays so" not in page.client.get("/webhooks/deploys/delete").text
    page.post("/webhooks/deploys/pause", do="pause")
    assert "It is paused, and stays so" in page.client.get("/webhooks/deploys/delete").text


def test_the_list_of_changes_says_where_it_ends(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_CHANGES", 2)
    page.create()
    assert "The newest" not in page.client.get("/changes").text
    page.post("/webhooks/deploys/pause", do="pause")
    assert "The newest 2." in page.client.get("/changes").text


def test_deleting_is_asked_twice(page: Page) -> None:
    page.create()
    version = page.version("deploys")
    assert page.post("/webhooks/deploys/delete", version=version).status_code == 422
    assert page.post("/webhooks/deploys/delete", version=version, confirm="other").status_code == 422
    assert "deploys" in page.defined
    assert page.post("/webhooks/deploys/delete", version=version, confirm="deploys").status_code == 303
    assert not page.defined


def test_custom_senders_get_a_header_or_a_signature(page: Page) -> None:
    custom = {"platform": "custom", "secret": "9f86d081884c7d659a2feaa0c55ad015"}
    assert page.create(**custom, name="one", header="X-Api-Key").status_code == 200
    signed = page.create(
        **custom, name="two", proof="signature", signature_header="X-Signature", signature_prefix="sha256="
    )
    assert signed.status_code == 200
    assert page.defined["one"].headers["X-Api-Key"][0].get_secret_value() == custom["secret"]
    assert page.defined["two"].signature.prefix == "sha256="
    assert 'id="header-error"' in page.create(**custom, name="three").text


def test_a_platform_that_signs_nothing_asks_for_a_client_certificate(page: Page) -> None:
    shown = page.client.get("/new?platform=salesforce").text
    assert 'value="mtls" checked' in shown
    assert 'value="none"' in shown
    assert 'value="headers"' not in shown
    deals = {"platform": "salesforce", "name": "deals", "secret": "", "mtls_header": "X-DN"}
    assert "add subject" in page.create(**deals).text
    assert page.defined == {}
    assert page.create(**deals, mtls_subject="CN=a,O=b").status_code == 200
    assert page.defined["deals"].mtls.subject == ("CN=a,O=b",)


def test_custom_senders_may_have_a_token_or_a_client_certificate(page: Page) -> None:
    custom = {"platform": "custom", "secret": "9f86d081884c7d659a2feaa0c55ad015"}
    token = page.create(**custom, name="one", proof="jwt", jwt_issuer="https://login.example.com", jwt_audience="hooks")
    assert token.status_code == 200
    assert custom["secret"] not in token.text
    assert (
        page.create(**custom, name="two", proof="mtls", mtls_header="X-DN", mtls_subject="CN=a,O=b").status_code == 200
    )
    one, two = page.defined["one"], page.defined["two"]
    assert (one.jwt.issuer, one.jwt.audience, one.headers, one.signature) == (
        "https://login.example.com", ("hooks",), None, None
    )  # fmt: skip
    assert (two.mtls.header, two.mtls.subject, two.headers) == ("X-DN", ("CN=a,O=b",), None)
    assert (
        'id="jwt_issuer-error"'
        in page.create(**custom, name="three", proof="jwt", jwt_issuer="http://login.example").text
    )
    assert 'id="mtls_header-error"' in page.create(**custom, name="four", proof="mtls", mtls_header="X-DN").text
    adjacent = page.create(
        **custom, name="five", proof="signature", signature_header="X-S", signature_signed="{header:X-Id}{body}"
    )
    assert 'id="signature_signed-error"' in adjacent.text


def test_a_webhook_is_paused_and_resumed(page: Page) -> None:
    page.create()
    assert page.post("/webhooks/deploys/pause", do="pause").status_code == 303
    assert "Resume" in page.client.get("/webhooks/deploys").text
    assert 'class="status paused"' in page.client.get("/").text
    page.post("/webhooks/deploys/pause", do="resume")
    assert "Resume" not in page.client.get("/webhooks/deploys").text
    assert 'class="status paused"' not in page.client.get("/").text
    changes = page.client.get("/changes").text
    assert "paused" in changes
    assert "resumed" in changes


# --- who may what ---


def routes() -> list[tuple[str, dict[str, str]]]:
    return [
        ("/new", {"platform": "github", "do": "create", "name": "x", "receivers": "x"}),
        ("/webhooks/deploys/edit", {"do": "save", "receivers": "x"}),
        ("/webhooks/deploys/secret", {"do": "rotate"}),
        ("/webhooks/deploys/delete", {"confirm": "deploys"}),
        ("/webhooks/deploys/test", {}),
        ("/webhooks/deploys/pause", {"do": "pause"}),
    ]


@pytest.mark.parametrize(("path", "values"), routes())
def test_a_viewer_changes_nothing(tmp_path: Path, path: str, values: dict[str, str]) -> None:
    page = Page(tmp_path, bridge_admin_token=ADMIN, bridge_viewer_token=VIEWER)
    assert page.client.post("/login", data={"token": VIEWER}).status_code == 303
    (page.folder / "deploys.yaml").write_text("webhooks:\n- {name: deploys, verifier: none, receivers: {a: any}}\n")
    before = {file: file.read_bytes() for file in page.folder.rglob("*") if file.is_file()}
    form_token = page.token("/")  # the log-out form has none, and a viewer gets no form
    answer = page.client.post(path, data={**values, "form_token": form_token})
    assert answer.status_code == 403
    assert "BRIDGE_ADMIN_TOKEN" in answer.text
    assert {file: file.read_bytes() for file in page.folder.rglob("*") if file.is_file()} == before
    assert "New webhook" not in page.client.get("/").text
    assert page.client.get("/webhooks/deploys").status_code == 200


@pytest.mark.parametrize(("path", "values"), routes())
def test_a_form_of_another_site_changes_nothing(page: Page, path: str, values: dict[str, str]) -> None:
    page.create()
    token = page.token("/new?platform=github")
    for more in ({}, {"form_token": "guessed"}):
        assert page.client.post(path, data={**values, **more}).status_code == 403
    evil = {"Origin": "https://evil.example.com"}
    assert page.client.post(path, data={**values, "form_token": token}, headers=evil).status_code == 403
    assert set(page.defined) == {"deploys"}


def test_a_secret_that_stands_in_the_file_itself_is_not_shown(page: Page) -> None:
    (page.folder / "a.yaml").write_text(
        "webhooks:\n- {name: one, platform: github, secret: in-the-file-itself-1, receivers: {a: any}}\n"
        "- {name: two, headers: {X-Key: in-the-file-itself-2}, receivers: {a: any}}\n"
        "- name: three\n  signature: {secret: in-the-file-itself-3, header: X}\n  receivers: {a: any}\n"
    )
    for name in ("one", "two", "three"):
        version = page.version(name)
        texts = [page.client.get(f"/webhooks/{name}{more}").text for more in ("", "/edit", "/delete")]
        texts.append(page.post(f"/webhooks/{name}/edit", do="check", version=version, receivers="b").text)
        texts.append(page.post(f"/webhooks/{name}/edit", do="save", version="old", receivers="b").text)
        assert not [text for text in texts if "in-the-file-itself" in text]
        assert page.post(f"/webhooks/{name}/edit", do="save", version=version, receivers="b").status_code == 303
    assert "in-the-file-itself-2" in (page.folder / "a.yaml").read_text()


def test_without_the_setting_nothing_is_written_and_the_setting_is_named(tmp_path: Path) -> None:
    page = Page(tmp_path, bridge_admin_writes=False)
    (page.folder / "a.yaml").write_text("webhooks:\n- {name: deploys, verifier: none, receivers: {a: any}}\n")
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
    assert "is not a folder: to create webhooks, set BRIDGE_WEBHOOKS to one" in answer.text


@pytest.mark.parametrize("name", ["..%2f..%2fetc", "a%00b", "%2e%2e", "<script>"])
def test_odd_names_in_urls_are_just_not_there(page: Page, name: str) -> None:
    for path in (f"/webhooks/{name}", f"/webhooks/{name}/edit"):
        assert page.client.get(path).status_code in (400, 404, 308)


def test_the_value_of_a_header_is_rotated_and_the_old_one_is_good_until_it_is_removed(page: Page) -> None:
    page.create(platform="custom", name="one", header="X-Api-Key")
    assert "New value of the header X-Api-Key" in page.client.get("/webhooks/one").text

    def values() -> list[str]:
        return [value.get_secret_value() for value in page.defined["one"].headers["X-Api-Key"]]

    [old] = values()
    rotated = page.post("/webhooks/one/secret", do="rotate", header="X-Api-Key", version=page.version("one"))
    new, kept = values()
    assert (kept, len(new)) == (old, 43)
    assert new in rotated.text, "it was made up here, so somebody must be told"
    page.post("/webhooks/one/secret", do="forget", header="X-Api-Key", version=page.version("one"))
    assert values() == [new]
    assert page.post("/webhooks/one/secret", do="rotate", header="X-No", version=page.version("one")).status_code == 409


def test_a_webhook_with_callback_is_made_edited_and_its_secret_rotated(page: Page) -> None:
    form = page.client.get("/new?platform=custom").text
    assert 'name="proof" value="callback"' in form
    given = {"callback_expires": "2d", "callback_tasks": "approve", "callback_query": "decision"}
    made = page.create(platform="custom", name="approvals", proof="callback", **given)
    assert made.status_code == 200, made.text
    callback = page.defined["approvals"].callback
    assert (callback.expires, callback.tasks, callback.query) == (2 * 86_400.0, ("approve",), ("decision",))
    [old] = [secret.get_secret_value() for secret in callback.secret]
    assert old == "9f86d081884c7d659a2feaa0c55ad015"
    assert old not in made.text, "nobody enters it anywhere"
    edit = page.client.get("/webhooks/approvals/edit").text
    assert "Callback URLs" in edit
    assert old not in edit
    values = given | {"callback_expires": "3d", "receivers": "deploy"}
    page.post("/webhooks/approvals/edit", do="save", version=page.version("approvals"), **values)
    assert page.defined["approvals"].callback.expires == 3 * 86_400.0

    def secrets() -> list[str]:
        return [secret.get_secret_value() for secret in page.defined["approvals"].callback.secret]

    assert secrets() == [old]
    rotated = page.post("/webhooks/approvals/secret", do="rotate", version=page.version("approvals"))
    new, kept = secrets()
    assert (kept, len(new)) == (old, 43)
    assert "New URLs are signed with the new one" in rotated.text
    assert new not in rotated.text
    assert "Ends every URL that it signed" in rotated.text
    page.post("/webhooks/approvals/secret", do="forget", version=page.version("approvals"))
    assert secrets() == [new]
    assert len(list((page.folder / "secrets").glob("[!.]*"))) == 1, "the old one's file is gone"
    page.post("/webhooks/approvals/delete", confirm="approvals", version=page.version("approvals"))
    assert not list((page.folder / "secrets").glob("[!.]*"))


def test_urls_that_nothing_signs_have_no_secret_to_rotate(page: Page) -> None:
    made = page.create(platform="custom", name="open", proof="callback", callback_by="id")
    assert page.defined["open"].callback.secret is None
    assert "Nothing to rotate" in made.text
    assert page.post("/webhooks/open/secret", do="rotate", version=page.version("open")).status_code == 409
    wrong = page.create(platform="custom", name="other", proof="callback", callback_by="id", callback_expires="1d")
    assert 'id="callback_expires-error"' in wrong.text
    wrong = page.create(platform="custom", name="other", proof="callback", start_workflow_0="on_push")
    assert 'id="start_workflow_0-error"' in wrong.text or "starts nothing" in wrong.text


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
    page.post("/webhooks/alerts/secret", do="rotate", header="Authorization", version=page.version("alerts"))
    new, old = page.defined["alerts"].headers["Authorization"]
    assert new.get_secret_value().startswith("Bearer ")
    assert old.get_secret_value() == "Bearer 9f86d081884c7d659a2feaa0c55ad015"


def test_a_webhook_that_nothing_proves_shows_no_secret_and_its_risk(page: Page) -> None:
    made = page.create(platform="custom", name="open", proof="none")
    assert "9f86d081884c7d659a2feaa0c55ad015" not in made.text
    assert 'id="new-secret"' not in made.text
    assert "deliveries are not verified" in made.text
    assert "deliveries are not verified" in page.client.get("/webhooks/open").text


def test_an_edit_shows_each_receiver_ticked_however_many_there_are(page: Page) -> None:
    receivers = [f"flow_{number:03}" for number in range(300)]
    page.create(receivers="\n".join([*receivers, "versioned: 1, 2"]))
    form = page.client.get("/webhooks/deploys/edit").text
    ticked = re.findall(r'name="chosen" value="([^"]+)" checked', form)
    assert ticked == [*receivers, "versioned: 1, 2"]
    before = (page.folder / "deploys.yaml").read_text()
    page.post("/webhooks/deploys/edit", do="save", version=page.version("deploys"), chosen=ticked)
    assert (page.folder / "deploys.yaml").read_text() == before
    kept = [one for one in ticked if one != "flow_123"]
    checked = page.post("/webhooks/deploys/edit", do="check", version=page.version("deploys"), chosen=kept).text
    assert '<input type="checkbox" name="chosen" value="flow_123">' in checked, "it can be ticked again"
    page.post("/webhooks/deploys/edit", do="save", version=page.version("deploys"), chosen=kept)
    assert len(page.defined["deploys"].receivers) == 300
    assert "flow_123" not in page.defined["deploys"].receivers
