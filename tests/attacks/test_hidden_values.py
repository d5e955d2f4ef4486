"""What `hide` names is shown to nobody, wherever they look."""

from __future__ import annotations

import hmac
import json
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from admin.api.objects import Event as ApiEvent
from admin.bridge import Bridge, open_definitions
from admin.events.follow import Follower
from admin.page.app import create_app
from admin.search import Search
from platforms.base import digest
from relay.app import create_app as create_relay
from store.open import open_store
from store.records import Decision, NewEvent, Task, new_event_id
from store.sql.store import Store
from tests.admin.conftest import Cli
from tests.attacks.page import STRONG
from tests.support.deciding import adopt
from tests.support.deciding import decide as decide_all
from tests.support.makers import ME
from tests.support.sample import settings_for
from tools.servers import PATIENCE

# --- what is hidden ---

HIDING = (
    "webhooks:\n  - name: pay\n    verifier: none\n    hide: [$.card]\n    receivers: {flow: any}\n"
    "    dedup: {path: $.card}\n"
)
CARD = "4111-1111-1111-1111"


@pytest.fixture
def paid(tmp_path: Path) -> tuple[FlaskClient, Path, Store, str]:
    """A page, the file of definitions, the store, and the id of an event: the relay has read a
    `hide`."""
    file = tmp_path / "webhooks.yaml"
    file.write_text(HIDING)
    settings = settings_for(tmp_path, bridge_relay_metrics="off")
    relay = create_relay(settings)
    store = open_store(settings.bridge_database)
    relay.extensions["relay"].start()
    until = time.monotonic() + PATIENCE
    while store.hidden_paths.all() != {"pay": ("$.card",)}:
        assert time.monotonic() < until
        time.sleep(0.01)
    relay.extensions["relay"].stop()
    answer = relay.test_client().post("/webhook/pay", json={"card": CARD, "kept": "yes"})
    assert store.leadership.elect("me", 10**6)
    adopt(store, ME, [Task("t", "w", "flow", "ref", {"$.card": "4999"}, 0)], 1)
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
    ids=[
        "as it was",
        "broken hide",
        "broken key",
        "renamed",
        "twice",
        "hide twice",
        "gone",
        "broken file",
        "no file",
    ],
)
def test_a_hidden_value_stays_hidden_whatever_becomes_of_the_definition(
    paid: tuple[FlaskClient, Path, Store, str],
    definitions: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, file, _store, event_id = paid
    if definitions is None:
        file.unlink()
    else:
        file.write_text(definitions)
    monkeypatch.chdir(file.parent)
    cli = Cli(
        {"BRIDGE_WEBHOOKS": str(file), "BRIDGE_DATABASE": f"sqlite:///{file.parent / 'bridge.db'}"}
    )
    paths = ("/events", f"/events/{event_id}?paths=$.card", "/tasks/t", "/webhooks/pay")
    api = (
        "events",
        f"events/{event_id}",
        f"events/{event_id}/why",
        "tasks/t",
        "overview",
        "metadata/webhook/pay",
    )
    texts = [client.get(path).text for path in (*paths, *(f"/api/{path}" for path in api))]
    texts += [cli("events").output, cli("events", "--json").output]
    texts += [cli("events", command, event_id).output for command in ("show", "explain")]
    texts += [cli("tasks", "show", "t").output]
    for text in texts:
        assert CARD not in text
    assert "yes" in client.get(f"/api/events/{event_id}").get_json()["payload"]["kept"]


def test_no_digest_is_shown_against_which_hidden_values_can_be_guessed(tmp_path: Path) -> None:
    """The delivery id of most platforms is a digest of the body, of which a viewer sees all but the
    hidden value."""
    body = {"card": CARD, "kept": "yes"}
    (tmp_path / "webhooks.yaml").write_text(
        f"webhooks:\n  - name: pay\n    signature: {{secret: {STRONG}, header: X-Sig}}\n    hide: [$.card]\n"
        "    receivers: {flow: any}\n"
    )
    settings = settings_for(tmp_path, bridge_relay_metrics="off")
    relay = create_relay(settings)
    raw = json.dumps(body).encode()
    signature = hmac.new(STRONG.encode(), raw, "sha256").hexdigest()
    answer = relay.test_client().post(
        "/webhook/pay", data=raw, headers={"X-Sig": signature}, content_type="text/json"
    )
    assert answer.status_code == 200
    event_id = answer.get_json()["eventId"]
    delivery_id = open_store(settings.bridge_database).queries.event(event_id).delivery_id
    assert delivery_id == digest(raw)
    client = create_app(settings).test_client()
    for path in (
        f"/events/{event_id}",
        f"/api/events/{event_id}",
        "/api/events",
        "/api/metadata/webhook/pay",
    ):
        assert delivery_id not in client.get(path).text


def test_the_command_line_hides_what_it_follows_to_the_end(
    paid: tuple[FlaskClient, Path, Store, str],
) -> None:
    _client, file, store, _event_id = paid
    settings = settings_for(file.parent, bridge_webhooks=file)
    follower = Follower(Bridge(settings, store, open_definitions(settings, dict).current), Search())
    event_id = new_event_id()
    store.deliveries.append(
        [NewEvent(event_id, "pay", 1, json.dumps({"card": CARD}), {}, {}, 2, f"card-{CARD}")]
    )
    (news,) = follower.look()
    assert news.is_new
    assert CARD not in str(ApiEvent.of(news.event, targets=[]))
    decide_all(store, ME, [Decision(event_id, "expired", "no")], 3, 10)
    (news,) = follower.look()
    assert not news.is_new
    assert CARD not in str(ApiEvent.of(news.event, targets=[]))


def test_where_nobody_knows_what_was_hidden_nothing_is_shown(tmp_path: Path) -> None:
    (tmp_path / "webhooks.yaml").write_text("webhooks: []")
    settings = settings_for(tmp_path)
    event_id = new_event_id()
    open_store(settings.bridge_database).deliveries.append(
        [
            NewEvent(
                event_id,
                "before",
                1,
                json.dumps({"card": CARD}),
                {"x-user": CARD},
                {"q": CARD},
                2,
                CARD,
            )
        ]
    )
    client = create_app(settings).test_client()
    for path in (f"/events/{event_id}", f"/api/events/{event_id}", "/events", "/api/events"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert CARD not in answer.text


def test_an_expected_value_is_hidden_where_the_found_one_is(
    paid: tuple[FlaskClient, Path, Store, str],
) -> None:
    client, _, _, event_id = paid
    text = client.get(f"/events/{event_id}").text
    assert "4999" not in text
    assert "$.card is hidden, and doesn&#39;t hold" in text
    (task,) = client.get(f"/api/events/{event_id}/why").get_json()["tasks"]
    (criterion,) = task["criteria"]
    assert (criterion["found"], criterion["expected"]) == (["***"], "***")
