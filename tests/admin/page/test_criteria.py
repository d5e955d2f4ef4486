"""Trying criteria, and comparing payloads, on the page."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from admin.page.app import create_app
from store.open import open_store
from store.records import NewEvent, new_event_id
from tests.support.sample import Sample, settings_for

pytestmark = pytest.mark.usefixtures("patient_trials")

TRY = "/webhooks/github-deploys/try"


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page[page.index("<main") :])).split())


def test_conditions_and_keys_are_shown_as_yaml(client: FlaskClient) -> None:
    page = client.get(
        TRY, query_string={"kind": "when", "path": "$.ref", "value": '{"$regex": "^refs/tags/"}'}
    ).text
    assert "when:\n  $.ref:\n    $regex: ^refs/tags/\n" in unescape(page)
    assert "1 of the last 4 events would have fitted" in text_of(page)
    page = client.get(TRY, query_string={"kind": "once", "path": "$.ref"}).text
    assert "once:\n  key: $.ref\n" in unescape(page)


def test_waiting_tasks_are_compared_with_the_payload_as_if_it_arrived_now(
    client: FlaskClient, sample: Sample
) -> None:
    page = text_of(client.get(TRY, query_string={"of": sample.events["delivered"]}).text)
    assert "matches task wait_late of deploy" in page
    assert "differs task wait_other of deploy" in page
    assert 'fails $.ref is "refs/heads/main", expected is "refs/heads/dev"' in page


def test_a_webhook_without_events_offers_its_platforms_samples(client: FlaskClient) -> None:
    page = text_of(client.get("/webhooks/slack/try?of=sample:app_mention").text)
    assert "Payload of sample app_mention" in page


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("of=unknown", 404),
        ("of=sample:unknown", 404),
        ("kind=unknown", 400),
        ("add=$[", 200),
        ("add=$.not.there", 200),
        ("remove=x&path=$.a", 200),
        ("remove=9&path=$.a", 200),
        ("path=$..*&value=1&kind=only", 200),
        ("path=%00&value=%00", 200),
        ("&".join(["path=$..a&value=1"] * 500), 200),
    ],
)
def test_no_address_makes_it_fail(client: FlaskClient, query: str, status: int) -> None:
    assert client.get(f"{TRY}?{query}").status_code == status


def test_another_webhooks_event_is_not_tried(client: FlaskClient, sample: Sample) -> None:
    assert client.get(TRY, query_string={"of": sample.events["hostile"]}).status_code == 404


def test_the_criterion_beside_the_button_is_removed_whatever_is_typed_in_it_now(
    client: FlaskClient,
) -> None:
    where = "/webhooks/github-deploys/try?kind=when&path=$.n&value=1&path=$.n&value=2"
    buttons = re.findall(r'name="remove" value="([^"]*)"', client.get(where).text)
    page = client.get(f"{where.replace('path=$.n', 'path=$.m', 1)}&remove={buttons[0]}").text
    assert re.findall(r'name="path" value="([^"]*)"', page) == ["$.n"]


def test_a_comparison_names_what_differs(client: FlaskClient, sample: Sample) -> None:
    page = text_of(client.get(f"/events/{sample.events['refused']}/compare").text)
    assert '$.ref changed "refs/heads/main" "refs/tags/v2"' in page
    assert "$.repository removed" in page
    first = client.get(f"/events/{sample.events['delivered']}/compare")
    assert "there is no earlier one" in text_of(first.text)
    same = client.get(
        f"/events/{sample.events['delivered']}/compare?with={sample.events['delivered']}"
    )
    assert "They are the same" in text_of(same.text)
    assert (
        client.get(f"/events/{sample.events['delivered']}/compare?with=unknown").status_code == 404
    )
    assert (
        client.get(f"/events/{sample.events['delivered']}/compare?with=sample:x").status_code == 404
    )


def test_a_viewer_may_try_and_compare(sample: Sample) -> None:
    token = "the-token-of-viewers"
    client = create_app(settings_for(sample.folder, bridge_viewer_token=token)).test_client()
    for path in (f"{TRY}?path=$.ref&value=x", f"/events/{sample.events['pending']}/compare"):
        assert client.get(path).status_code == 302
        assert client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200


# --- what is hidden ---


CARD = "4999-1234"


@pytest.fixture
def paid(tmp_path: Path) -> tuple[FlaskClient, list[str]]:
    (tmp_path / "webhooks.yaml").write_text(
        "webhooks:\n  - name: pay\n    verifier: none\n    hide: [$.card, '$.items[*].pin']\n"
        "    receivers: {flow: any}\n"
    )
    settings = settings_for(tmp_path)
    store = open_store(settings.bridge_database)
    ids = [new_event_id(), new_event_id()]
    for event_id, card in zip(ids, ("4000-0000", CARD), strict=True):
        payload = {"card": card, "items": [{"pin": card, "id": 1}], "kept": "yes"}
        store.deliveries.append(
            [NewEvent(event_id, "pay", 1, json.dumps(payload), {}, {}, 2, None)]
        )
    return create_app(settings).test_client(), ids


ASKED = [
    ("$.card", "{}"),
    ("$['card']", "{}"),
    ("$", '{{"card": "{}", "kept": "yes"}}'),
    ("$[?(@.card == '{}')].kept", "yes"),
    ("$[?(@.card != '{}')].kept", "yes"),
    ("$.kept[?($.card =~ '{}')]", "yes"),
    ("$.card", '{{"$regex": "{}"}}'),
    ("$.items[0].pin", "{}"),
    ("$.card", '{{"$not": {{"$eq": "{}"}}}}'),
]


@pytest.mark.parametrize("kind", ["matches", "when", "only", "once"])
@pytest.mark.parametrize(("path", "value"), ASKED)
def test_no_criterion_tells_a_right_guess_of_a_hidden_value_from_a_wrong_one(
    paid: tuple[FlaskClient, list[str]], kind: str, path: str, value: str
) -> None:
    client, _ids = paid
    answers = []
    for guess in (CARD, "5555-9876"):
        asked = {"kind": kind, "path": path.format(guess), "value": value.format(guess)}
        page = client.get("/webhooks/pay/try", query_string=asked).text
        answers.append(re.sub(r"<time.*?</time>|, \S+ \w+ ago", "", page).replace(guess, "GUESS"))
    assert answers[0] == answers[1]
    assert CARD not in client.get("/webhooks/pay/try").text


def test_what_is_beside_a_hidden_value_is_tried(paid: tuple[FlaskClient, list[str]]) -> None:
    client, _ids = paid
    page = client.get(
        "/webhooks/pay/try",
        query_string={"path": ["$.kept", "$.items[0].id"], "value": ["yes", "1"]},
    )
    assert "2 of the last 2 events would have fitted" in text_of(page.text)


def test_nothing_hidden_is_compared(paid: tuple[FlaskClient, list[str]]) -> None:
    client, ids = paid
    page = client.get(f"/events/{ids[1]}/compare").text
    assert "4000" not in text_of(page).split("1 field differs")[0]
    assert "$.card" not in page
    assert "What hide names is not compared" in text_of(page)


# --- large payloads ---


def test_large_payloads_are_shown_in_part_and_tried_as_far_as_there_is_time(tmp_path: Path) -> None:
    (tmp_path / "webhooks.yaml").write_text(
        "webhooks:\n  - name: big\n    verifier: none\n    receivers: {flow: any}\n"
    )
    settings = settings_for(tmp_path)
    store = open_store(settings.bridge_database)
    ids = []
    for turn in range(2):
        large: dict[str, Any] = {
            "turn": turn,
            "items": [{"id": number, "text": "x" * 80} for number in range(100_000)],
        }
        ids.append(new_event_id())
        store.deliveries.append([NewEvent(ids[-1], "big", 1, json.dumps(large), {}, {}, 2, None)])
    client = create_app(settings).test_client()
    page = client.get("/webhooks/big/try?path=$.turn&value=1").text
    assert len(page) < 500_000
    assert "99900 more, not shown here" in page
    assert re.search(r"1 of the last [12] events? would have fitted", text_of(page))
    assert len(client.get(f"/events/{ids[1]}/compare").text) < 500_000
