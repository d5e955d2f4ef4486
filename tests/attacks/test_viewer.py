"""What a viewer, or whoever types into the page, might get at: nothing that is another's secret."""

from __future__ import annotations

import hmac
import json
import re
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from flask.testing import FlaskClient

from admin.api.objects import Event as ApiEvent
from admin.bridge import Bridge, read_definitions
from admin.events.follow import Follower
from admin.events.send import Answer
from admin.explain import context, explainer
from admin.page import webhooks
from admin.page.access import COOKIE, SESSION_SECONDS, Sessions
from admin.page.app import create_app
from platforms.base import digest
from platforms.verifiers import Draft
from relay.app import create_app as create_relay
from store import hiding
from store.delivery_records import WRONG_TOKEN
from store.event_filter import EventFilter
from store.open import open_store
from store.records import Decision, NewEvent, Task, new_event_id
from store.sql.store import Store
from testkit import PATIENCE
from tests.admin.conftest import Cli
from tests.admin.page.test_webhooks import ADMIN, VIEWER, Page
from tests.admin.sample import HOSTILE, settings_for
from tests.store.contract.makers import ME

SECRET = "somebody-elses-secret-0123456789"
STRONG = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A page that writes, beside another webhook's secret in the environment and in a file."""
    monkeypatch.setenv("OTHER_SECRET", SECRET)
    page = Page(tmp_path)
    (page.folder / "secrets").mkdir()
    (page.folder / "secrets" / "other").write_text(SECRET)
    return page


REFERENCES = ("${OTHER_SECRET}", "${file:secrets/other}", "a${OTHER_SECRET}", "$${OTHER_SECRET}")


# --- references ---


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_name_with_a_reference_is_refused_and_reads_no_secret(page: Page, reference: str) -> None:
    answer = page.create(name=reference)
    assert answer.status_code == 422
    assert SECRET not in answer.text
    assert "be a webhook&#39;s name" in answer.text
    assert list(page.folder.glob("*.yaml")) == []
    answer = page.client.post(
        "/api/metadata/webhook",
        json={
            "name": reference,
            "verifier": "HEADER_BASED",
            "headers": {"X-Key": STRONG},
            "receiverWorkflowNamesToVersions": {"w": 1},
        },
    )
    assert SECRET not in answer.text
    assert all(SECRET not in name for name in page.defined)


@pytest.mark.parametrize("reference", REFERENCES)
def test_whatever_is_typed_is_text(page: Page, reference: str) -> None:
    page.create(
        name="custom",
        platform="custom",
        proof="signature",
        signature_header="X-Signature",
        signature_prefix=reference,
        secret=reference + STRONG,
        receivers="flow",
        start_workflow_0=reference,
        start_when_0=f"$.x: '{reference}'",
        more=f"respond: {{body: '{reference}'}}",
    )
    webhook = page.defined["custom"]
    assert webhook.signature.prefix == reference
    assert webhook.signature.secret[0].get_secret_value() == reference + STRONG
    assert webhook.starts[0].workflow == reference
    assert webhook.starts[0].when == {"$.x": reference}
    assert webhook.respond.body == reference
    assert SECRET not in page.client.get("/webhooks/custom").text


@pytest.mark.parametrize("reference", REFERENCES)
def test_whatever_the_api_is_sent_is_text(page: Page, reference: str) -> None:
    body = {
        "name": "custom",
        "sourcePlatform": "Custom",
        "verifier": "SIGNATURE_BASED",
        "headerKey": "X-Signature",
        "secretValue": STRONG,
        "receiverWorkflowNamesToVersions": {"flow": 1},
        "workflowsToStart": {reference: 2},
    }
    made = page.client.post("/api/metadata/webhook", json=body)
    assert made.status_code == 200
    changed = page.client.put("/api/metadata/webhook/custom", json={**body, "workflowsToStart": {f"b{reference}": 2}})
    assert changed.status_code == 200
    webhook = page.defined["custom"]
    assert webhook.starts[0].workflow == f"b{reference}"
    assert SECRET not in made.text + changed.text


@pytest.mark.parametrize("name", ["BRIDGE_ADMIN_TOKEN", "CONDUCTOR_AUTH_SECRET", "PGPASSWORD"])
def test_a_secrets_reference_never_names_a_setting_of_the_bridge(
    page: Page, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, STRONG)
    body = {"name": "custom", "verifier": "SIGNATURE_BASED", "headerKey": "X-S", "workflowsToStart": {"flow": 1}}
    answer = page.client.post("/api/metadata/webhook", json={**body, "secretValue": f"${{workflow.secrets.{name}}}"})
    assert answer.status_code == 400
    assert name in answer.get_json()["message"]


@pytest.mark.parametrize("reference", REFERENCES)
def test_what_is_imported_is_text(tmp_path: Path, reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    orkes = {
        "name": "custom",
        "sourcePlatform": "Custom",
        "verifier": "SIGNATURE_BASED",
        "headerKey": "X-Signature",
        "receiverWorkflowNamesToVersions": {"flow": 1},
        "workflowsToStart": {reference: 2},
    }
    (tmp_path / "orkes.json").write_text(json.dumps([orkes]))
    text = Cli({})("import", "orkes.json").stdout
    (tmp_path / "webhooks.yaml").write_text(text)
    environment = {"CUSTOM_SECRET": STRONG, "OTHER_SECRET": SECRET}
    found = Cli({"BRIDGE_WEBHOOKS": "webhooks.yaml", **environment})("webhooks", "--json").output
    assert SECRET not in found
    from config.webhooks import load_definitions

    (webhook,) = load_definitions(tmp_path / "webhooks.yaml", None, environment).webhooks
    assert webhook.starts[0].workflow == reference


def test_editing_one_further_setting_leaves_the_others_as_they_are_written(page: Page, monkeypatch: Any) -> None:
    page.create(more="respond: {body: 'thanks ${you}'}\nhold: 10m")
    file = page.folder / "deploys.yaml"
    assert "thanks $${you}" in file.read_text()
    edit = page.client.get("/webhooks/deploys/edit").text
    assert "thanks ${you}" in edit, "as it is meant"
    page.post(
        "/webhooks/deploys/edit",
        do="save",
        version=page.version("deploys"),
        receivers="deploy",
        more="respond: {body: 'thanks ${you}'}\nhold: 20m",
    )
    assert page.defined["deploys"].hold == 1200
    assert page.defined["deploys"].respond.body == "thanks ${you}"
    assert file.read_text().count("$${you}") == 1


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_receiver_or_header_with_a_reference_for_its_name_is_refused(page: Page, reference: str) -> None:
    answers = [
        page.create(receivers=reference),
        page.create(platform="custom", proof="headers", header=reference),
        page.client.post(
            "/api/metadata/webhook",
            json={
                "name": "w",
                "verifier": "HEADER_BASED",
                "headers": {reference: STRONG},
                "receiverWorkflowNamesToVersions": {reference: 1},
            },
        ),
    ]
    assert [answer.status_code for answer in answers] == [422, 422, 400]
    assert all(SECRET not in answer.text for answer in answers)
    assert page.defined == {}


# --- secrets on pages ---


def test_edit_shows_no_inline_secret_after_an_error_either(page: Page) -> None:
    file = page.folder / "mine.yaml"
    file.write_text(
        f"webhooks:\n  - name: mine\n    headers: {{X-Api-Key: {SECRET}}}\n    signature:\n      secret: {SECRET}\n"
        "      header: X-Signature\n    receivers: {flow: any}\n"
    )
    version = page.version("mine")
    texts = [page.client.get(path).text for path in ("/webhooks/mine", "/webhooks/mine/edit")]
    for do in ("save", "check"):
        for values in ({"start_workflow_0": "w", "start_version_0": "x"}, {"more": "hold: soon"}, {"more": "- a"}):
            texts.append(page.post("/webhooks/mine/edit", do=do, version=version, receivers="flow", **values).text)
    file.write_text(file.read_text() + "    hold: 1m\n")
    texts.append(page.post("/webhooks/mine/edit", do="save", version=version, receivers="other").text)
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
    assert (page.folder / "secrets" / "one.secret-0123abcd").exists(), "another webhook still names it"
    page.post("/webhooks/two/delete", confirm="two", version=page.version("two"))
    page.create()
    [own] = [path for path in (page.folder / "secrets").iterdir() if path.name.startswith("deploys.")]
    page.post("/webhooks/deploys/delete", confirm="deploys", version=page.version("deploys"))
    assert not own.exists()


# --- a test event ---


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
    assert draft.url == "http://169.254.169.254/latest/meta-data", "it is signed as the platform would know it"
    assert "200 OK" in text
    assert "eventId e1" in text
    assert "of-the-cloud" not in text
    assert "\u202e" not in text
    assert "&lt;b&gt;" in text


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b'"eventId"', b'{"a": 1}', b"<html>eventId"])
def test_nothing_of_an_answer_is_shown_that_isnt_the_relays(body: bytes) -> None:
    assert Answer(599, body).said == ""
    assert Answer(599, body).phrase == "599"


def test_the_address_of_the_relay_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(tmp_path, bridge_relay_url="http://relay:8000", bridge_public_url=None)
    posted: list[tuple[str, Draft]] = []
    monkeypatch.setattr(webhooks, "post", lambda url, draft, wait: posted.append((url, draft)) or Answer(200, b"{}"))
    page.create()
    page.post("/webhooks/deploys/test", sample="push")
    assert [(url, draft.url) for url, draft in posted] == [("http://relay:8000/webhook/deploys",) * 2]


# --- what is hidden ---

HIDING = (
    "webhooks:\n  - name: pay\n    verifier: none\n    hide: [$.card]\n    receivers: {flow: any}\n"
    "    dedup: {path: $.card}\n"
)
CARD = "4111-1111-1111-1111"


@pytest.fixture
def paid(tmp_path: Path) -> tuple[FlaskClient, Path, Store, str]:
    """A page, the file of definitions, the store, and the id of an event: the relay has read a `hide`."""
    file = tmp_path / "webhooks.yaml"
    file.write_text(HIDING)
    settings = settings_for(tmp_path, bridge_relay_metrics="off")
    relay = create_relay(settings, in_background=False)
    store = open_store(settings.bridge_database)
    relay.extensions["relay"].start()
    until = time.monotonic() + PATIENCE
    while store.hidden_paths.all() != {"pay": ("$.card",)}:
        assert time.monotonic() < until
        time.sleep(0.01)
    relay.extensions["relay"].stop()
    answer = relay.test_client().post("/webhook/pay", json={"card": CARD, "kept": "yes"})
    assert store.leadership.elect("me", 60)
    store.tasks.adopt(ME, [Task("t", "w", "flow", "ref", {"$.card": "4999"}, 0)], 1)
    return create_app(settings).test_client(), file, store, answer.get_json()["eventId"]


@pytest.mark.parametrize(
    "definitions",
    [
        HIDING,
        HIDING.replace("hide: [$.card]", "hide: ['$[']"),
        HIDING.replace("receivers", "recievers"),
        HIDING.replace("name: pay", "name: payments"),
        HIDING.replace("    hide: [$.card]\n", "") + HIDING.removeprefix("webhooks:\n"),
        HIDING.replace("hide: [$.card]", "hide: [$.card]\n    hide: []"),
        "webhooks: []",
        "webhooks: [",
        None,
    ],
    ids=["as it was", "broken hide", "broken key", "renamed", "twice", "hide twice", "gone", "broken file", "no file"],
)
def test_a_hidden_value_stays_hidden_whatever_becomes_of_the_definition(
    paid: tuple[FlaskClient, Path, Store, str], definitions: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, file, _store, event_id = paid
    if definitions is None:
        file.unlink()
    else:
        file.write_text(definitions)
    monkeypatch.chdir(file.parent)
    cli = Cli({"BRIDGE_WEBHOOKS": str(file), "BRIDGE_DATABASE": f"sqlite:///{file.parent / 'bridge.db'}"})
    paths = ("/events", f"/events/{event_id}?paths=$.card", "/tasks/t", "/webhooks/pay")
    api = ("events", f"events/{event_id}", f"events/{event_id}/why", "tasks/t", "overview", "metadata/webhook/pay")
    texts = [client.get(path).text for path in (*paths, *(f"/api/{path}" for path in api))]
    texts += [cli("events").output, cli("events", "--json").output]
    texts += [cli("events", command, event_id).output for command in ("show", "explain")]
    texts += [cli("tasks", "show", "t").output]
    for text in texts:
        assert CARD not in text
    assert "yes" in client.get(f"/api/events/{event_id}").get_json()["payload"]["kept"]


def test_no_digest_is_shown_against_which_hidden_values_can_be_guessed(tmp_path: Path) -> None:
    """The delivery id of most platforms is a digest of the body, of which a viewer sees all but the hidden value."""
    body = {"card": CARD, "kept": "yes"}
    (tmp_path / "webhooks.yaml").write_text(
        f"webhooks:\n  - name: pay\n    signature: {{secret: {STRONG}, header: X-Sig}}\n    hide: [$.card]\n"
        "    receivers: {flow: any}\n"
    )
    settings = settings_for(tmp_path, bridge_relay_metrics="off")
    relay = create_relay(settings, in_background=False)
    raw = json.dumps(body).encode()
    signature = hmac.new(STRONG.encode(), raw, "sha256").hexdigest()
    answer = relay.test_client().post("/webhook/pay", data=raw, headers={"X-Sig": signature}, content_type="text/json")
    assert answer.status_code == 200
    event_id = answer.get_json()["eventId"]
    delivery_id = open_store(settings.bridge_database).queries.event(event_id).delivery_id
    assert delivery_id == digest(raw)
    client = create_app(settings).test_client()
    for path in (f"/events/{event_id}", f"/api/events/{event_id}", "/api/events", "/api/metadata/webhook/pay"):
        assert delivery_id not in client.get(path).text


@pytest.mark.parametrize("number", [str(2**63 - 1), str(2**63), "-1", "1" * 5000])
def test_no_number_is_too_large_for_an_answer(paid: tuple[FlaskClient, Path, Store, str], number: str) -> None:
    client, *_ = paid
    for path in (f"/replay?webhook=pay&to={number}", f"/events?before={number}", f"/?from={number}"):
        assert client.get(path).status_code in (200, 400)


def test_what_is_hidden_costs_no_more_beside_many_tasks(
    paid: tuple[FlaskClient, Path, Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _file, store, event_id = paid
    store.tasks.adopt(ME, [Task(f"t{n}", f"w{n}", "flow", "ref", {"$.card": str(n)}, 0) for n in range(300)], 1)
    made: list[Any] = []

    def count(document: Any, hide: Any) -> Any:
        made.append(document)
        return hiding.shown_of(document, hide)

    monkeypatch.setattr(context, "shown_of", count)
    answer = client.get(f"/api/events/{event_id}/why")
    assert len(answer.get_json()["tasks"]) == 200
    assert CARD not in answer.text
    assert len(made) < 10


def test_no_more_of_payloads_is_read_for_a_task_than_somebody_waits_for(
    paid: tuple[FlaskClient, Path, Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _file, store, _event_id = paid
    new = [NewEvent(new_event_id(), "pay", 1, json.dumps({"a": "a" * 100}), {}, {}, 2, None) for _ in range(100)]
    store.deliveries.append(new)
    monkeypatch.setattr(explainer, "_CHARACTERS_EXAMINED", 1500)
    found = client.get("/api/tasks/t?limit=1000").get_json()["events"]
    assert [one["eventId"] for one in found[:10]] == [one.id for one in new[:-11:-1]]
    assert len(found) == 20


def test_the_history_of_a_webhook_has_no_more_than_the_beginning_of_large_payloads(
    paid: tuple[FlaskClient, Path, Store, str],
) -> None:
    client, _file, store, _event_id = paid
    large = json.dumps({"card": CARD, "a": "a" * 1_000_000})
    store.deliveries.append([NewEvent(new_event_id(), "pay", 1, large, {}, {}, 2, None) for _ in range(3)])
    answer = client.get("/api/metadata/webhook/pay")
    payloads = [one["payload"] for one in answer.get_json()["webhookExecutionHistory"]]
    assert [len(payload) for payload in payloads[:3]] == [100_000] * 3
    assert "kept" in json.loads(payloads[3])
    assert CARD not in answer.text


def test_the_command_line_hides_what_it_follows_to_the_end(paid: tuple[FlaskClient, Path, Store, str]) -> None:
    _client, file, store, _event_id = paid
    follower = Follower(Bridge(settings_for(file.parent), store, read_definitions(file)), EventFilter())
    event_id = new_event_id()
    store.deliveries.append([NewEvent(event_id, "pay", 1, json.dumps({"card": CARD}), {}, {}, 2, f"card-{CARD}")])
    (news,) = follower.look()
    assert news.is_new
    assert CARD not in str(ApiEvent.of(news.event, targets=[]))
    store.decisions.decide(ME, [Decision(event_id, "expired", "no")], [], 3, "me", 10)
    (news,) = follower.look()
    assert not news.is_new
    assert CARD not in str(ApiEvent.of(news.event, targets=[]))


def test_where_nobody_knows_what_was_hidden_nothing_is_shown(tmp_path: Path) -> None:
    (tmp_path / "webhooks.yaml").write_text("webhooks: []")
    settings = settings_for(tmp_path)
    event_id = new_event_id()
    open_store(settings.bridge_database).deliveries.append(
        [NewEvent(event_id, "before", 1, json.dumps({"card": CARD}), {"x-user": CARD}, {"q": CARD}, 2, CARD)]
    )
    client = create_app(settings).test_client()
    for path in (f"/events/{event_id}", f"/api/events/{event_id}", "/events", "/api/events"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert CARD not in answer.text


def test_an_expected_value_is_hidden_where_the_found_one_is(paid: tuple[FlaskClient, Path, Store, str]) -> None:
    client, _, _, event_id = paid
    text = client.get(f"/events/{event_id}").text
    assert "4999" not in text
    assert "$.card is hidden, and doesn&#39;t hold" in text
    (task,) = client.get(f"/api/events/{event_id}/why").get_json()["tasks"]
    (criterion,) = task["criteria"]
    assert (criterion["found"], criterion["expected"]) == (["***"], "***")


# --- tokens ---


@pytest.fixture
def guarded(tmp_path: Path) -> Page:
    return Page(tmp_path, bridge_admin_token=ADMIN, bridge_viewer_token=VIEWER)


def log_in(page: Page, token: str, address: str = "192.0.2.1") -> int:
    environ = {"REMOTE_ADDR": address}
    return page.client.post("/login", data={"token": token}, environ_overrides=environ).status_code


def test_wrong_tokens_have_their_sender_wait_and_nobody_else(guarded: Page) -> None:
    assert [log_in(guarded, f"wrong {number}") for number in range(7)] == [401] * 5 + [429] * 2
    answer = guarded.client.post("/login", data={"token": ADMIN}, environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
    assert answer.status_code == 429, "a right one isn't looked at either, or guessing would go on"
    assert int(answer.headers["Retry-After"]) >= 1
    bearer = {"Authorization": "Bearer wrong"}
    assert (
        guarded.client.get("/api/events", headers=bearer, environ_overrides={"REMOTE_ADDR": "192.0.2.1"}).status_code
        == 429
    )
    assert log_in(guarded, ADMIN, "192.0.2.2") == 303


def test_who_has_the_viewers_token_is_slowed_down_like_anybody(guarded: Page) -> None:
    statuses = []
    for number in range(6):
        statuses.append(log_in(guarded, f"wrong {number}"))
        if number < 4:
            assert log_in(guarded, VIEWER) == 303
    assert statuses == [401] * 5 + [429]


def test_a_program_with_an_old_token_locks_nobody_out_at_its_address(guarded: Page) -> None:
    old = [{"Authorization": "Bearer an-old-token"}, {"Authorization": "Bearer another-old-token"}]
    for _ in range(10):
        assert [guarded.client.get("/api/events", headers=one).status_code for one in old] == [401, 401]
    assert log_in(guarded, ADMIN) == 303


def test_tokens_are_not_looked_at_where_none_is_needed(guarded: Page) -> None:
    for number in range(10):
        for headers in ({"Authorization": f"Bearer {number}"}, {"X-Authorization": str(number)}):
            assert guarded.client.get("/healthz", headers=headers).status_code == 200
    assert log_in(guarded, ADMIN) == 303


def test_a_session_of_the_api_can_be_ended_as_well(guarded: Page) -> None:
    given = guarded.client.post("/api/token", json={"keyId": "me", "keySecret": ADMIN}).get_json()["token"]
    headers = {"X-Authorization": given}
    assert guarded.client.get("/api/events", headers=headers).status_code == 200
    guarded.client.post("/logout", headers=headers)
    assert guarded.client.get("/api/events", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("address", "same"), [("::1", "::2"), ("2001:db8::1", "2001:db8::ffff:1"), ("::ffff:192.0.2.7", "192.0.2.7")]
)
def test_whoever_can_choose_an_address_waits_at_all_of_them(guarded: Page, address: str, same: str) -> None:
    assert [log_in(guarded, f"wrong-{number}", address) for number in range(5)] == [401] * 5
    assert log_in(guarded, "wrong", same) == 429


def test_wrong_tokens_are_counted_and_said(guarded: Page) -> None:
    for number in range(30):
        assert log_in(guarded, "wrong", f"192.0.2.{number}") == 401
    store = open_store(guarded.settings.bridge_database)
    assert store.queries.delivery_counts(0)[""][WRONG_TOKEN] == 30
    guarded.client.post("/login", data={"token": VIEWER})
    assert "wrong token 30 times" in guarded.client.get("/").text


def test_logging_out_ends_the_session_wherever_its_cookie_is(guarded: Page) -> None:
    client = guarded.client
    client.post("/login", data={"token": ADMIN})
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    elsewhere = create_app(guarded.settings).test_client()
    elsewhere.set_cookie(COOKIE, cookie.value)
    assert elsewhere.get("/api/events").status_code == 200
    token = re.search(r'name="form_token" value="([\w-]+)"', client.get("/new?platform=github").text)
    assert token
    assert client.post("/logout").status_code == 303
    assert elsewhere.get("/api/events").status_code == 401
    assert elsewhere.get("/api/events", headers={"X-Authorization": cookie.value}).status_code == 401


def test_a_session_ends_with_its_token(guarded: Page, tmp_path: Path) -> None:
    guarded.client.post("/login", data={"token": ADMIN})
    cookie = guarded.client.get_cookie(COOKIE)
    assert cookie is not None
    for changed in ({"bridge_admin_token": f"another-{ADMIN}"}, {"bridge_admin_token": None}):
        settings = settings_for(
            tmp_path, **{"bridge_webhooks": guarded.folder, "bridge_viewer_token": VIEWER, **changed}
        )
        client = create_app(settings).test_client()
        client.set_cookie(COOKIE, cookie.value)
        assert client.get("/api/events").status_code == 401


def test_a_cookie_tells_nothing_of_a_token_without_the_key() -> None:
    """Whoever has a viewer's cookie can't try tokens against it: two stores sign the same differently."""
    one, other = (
        Sessions(ADMIN, VIEWER, lambda key=key: mock.Mock(key=lambda: key * 32, is_over=lambda _: False))
        for key in (b"a", b"b")
    )
    assert other.role_of(one.new("viewer")) is None
    assert one.role_of(one.new("viewer")) == "viewer"
    assert SESSION_SECONDS <= 12 * 3600


# --- bytes ---


@pytest.mark.parametrize("body", [b"[" * 30_000, b'{"a":' * 30_000, b"\xff", b"{", b"1" * 5000, b"NaN", b""])
def test_no_body_makes_the_api_fail(page: Page, body: bytes) -> None:
    for method, path in (("POST", "/token"), ("POST", "/metadata/webhook"), ("PUT", "/metadata/webhook/x/tags")):
        answer = page.client.open(f"/api{path}", method=method, data=body, content_type="application/json")
        assert answer.status_code in (400, 404, 413), (path, answer.status_code)


@pytest.mark.parametrize("version", ["9" * 5000, "-1", "1.5", "\u0661", "\u00b2", 10**400, 2**63, None, [], {}, True])
def test_no_version_makes_it_fail(page: Page, version: Any) -> None:
    body = {
        "name": "w",
        "verifier": "HEADER_BASED",
        "headers": {"X-Key": STRONG},
        "receiverWorkflowNamesToVersions": {"a": version},
        "workflowsToStart": {"a": version},
    }
    assert page.client.post("/api/metadata/webhook", json=body).status_code in (200, 400)
    assert page.client.put("/api/metadata/webhook/w", json=body).status_code in (200, 400, 404)
    answer = page.create(name="f", receivers=f"a: {version}", start_workflow_0="b", start_version_0=str(version))
    assert answer.status_code in (200, 422)


@pytest.mark.parametrize("more", ["unknown: 1", "1: 2", "? [a]\n: b", "hold: {a: b}", "? {a: b}\n: c", "only: 1", "a"])
def test_no_further_setting_makes_the_form_fail(page: Page, more: str) -> None:
    page.create()
    version = page.version("deploys")
    for do in ("save", "check", ""):
        answer = page.post("/webhooks/deploys/edit", do=do, version=version, receivers="deploy", more=more, unknown="x")
        assert answer.status_code in (200, 422)
        assert page.create(name="other", more=more, do=do or "check", unknown="x").status_code in (200, 422)


@pytest.mark.parametrize("name", ["\u202egnp.exe", "\x1b[2J", "a\u2066b", "\x00"])
def test_no_control_character_of_a_name_reaches_a_title_or_a_picture(tmp_path: Path, name: str) -> None:
    (tmp_path / "webhooks.yaml").write_text("webhooks: []")
    settings = settings_for(tmp_path)
    store = open_store(settings.bridge_database)
    assert store.leadership.elect("me", 60)
    store.tasks.adopt(ME, [Task("t", "w", f"flow{name}", f"ref{name}", {"$.a": HOSTILE["control"]}, 0)], 1)
    client = create_app(settings).test_client()
    for path in ("/", "/tasks", "/tasks/t", f"/events?webhook={name}", f"/rejections?webhook={name}"):
        text = client.get(path).text
        shown = re.sub(r'(?:value|href)="[^"]*"', "", text)  # what is sent again stays as it is
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", shown), path
