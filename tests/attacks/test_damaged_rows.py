"""One row that can't be read hides nothing else: not on a page, nor in the API, nor in the live stream."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from admin.events.newest import newest
from admin.page.app import create_app
from store.delivery_records import Duplicate, SavedDelivery
from store.records import NewEvent, new_event_id
from tests.admin.sample import Sample, keep_refused, make_sample

PAGES = (
    "/",
    "/deliveries",
    "/events",
    "/events?status=failed",
    "/events?text=main",
    "/events?where=$.ref%3Dx",
    "/failures",
    "/rejections",
    "/rejections/retry?webhook=github-deploys",
    "/replay?webhook=github-deploys",
    "/acknowledge?status=failed",
    "/webhooks/github-deploys",
    "/webhooks/github-deploys/send",
    "/webhooks/github-deploys/try?path=$.ref&value=x",
    "/api/events",
    "/api/failures",
    "/api/overview",
    "/api/rejections",
)
BLOB, FAR = "x'ff00fe'", "99999999999999999"


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    sample = make_sample(tmp_path)
    for number in range(3):
        keep_refused(sample, b'{"n": %d}' % number)
    for name in ("first", "second"):
        sample.store.saved_deliveries.save(SavedDelivery("github-deploys", name, 1, "POST", "", {}, "{}"), 50)
    sample.store.without_events.record_duplicates(
        [Duplicate("orders", sample.store.now(), sample.events["expired"], None, "POST")]
    )
    return sample


@pytest.fixture
def client(sample: Sample) -> FlaskClient:
    return create_app(sample.settings).test_client()


def damage(sample: Sample, statement: str) -> None:
    with sqlite3.connect(sample.folder / "bridge.db") as database:
        changed = database.execute(statement).rowcount
    database.close()
    assert changed > 0


@pytest.mark.parametrize(
    "change",
    [
        "kept_deliveries SET headers = 'nonsense' WHERE id = (SELECT max(id) FROM kept_deliveries)",
        "kept_deliveries SET headers = '[1]' WHERE id = (SELECT max(id) FROM kept_deliveries)",
        "kept_deliveries SET body = '*' WHERE id = (SELECT max(id) FROM kept_deliveries)",
        f"kept_deliveries SET reason = {BLOB}",
        "saved_deliveries SET content = 'nonsense' WHERE name = 'first'",
        "saved_deliveries SET content = '{\"other\": 1}' WHERE name = 'first'",
        f"targets SET error = {BLOB} WHERE state = 'failed'",
        f"targets SET workflow = {BLOB}",
        "targets SET attempts = 'many', due_at = 'later'",
        "targets SET failures = 'nonsense'",
        f"rejections SET reason = {BLOB}, at = 'late', status = 'none'",
        "duplicates SET at = 'late'",
        f"events SET received_at = {FAR}",
        f"events SET acknowledged_at = {FAR}",
        f"events SET payload = {FAR}",
        f"events SET payload = {BLOB}",
        "events SET payload = '[1]', headers = '{'",
        f"events SET type = {BLOB}, telling = '[1]'",
        f"events SET delivery_id = {BLOB}, webhook = {BLOB}",
    ],
)
def test_a_damaged_row_stops_no_page(change: str, sample: Sample, client: FlaskClient) -> None:
    where = f" WHERE id = '{sample.events['refused']}'" if change.startswith("events") else ""
    damage(sample, f"UPDATE {change}{where}")
    assert {page: client.get(page).status_code for page in PAGES} == dict.fromkeys(PAGES, 200)


def test_what_is_beside_a_damaged_row_is_shown(sample: Sample, client: FlaskClient) -> None:
    damage(sample, "UPDATE kept_deliveries SET headers = '{' WHERE id = (SELECT max(id) FROM kept_deliveries)")
    damage(sample, "UPDATE saved_deliveries SET content = '{' WHERE name = 'first'")
    damage(sample, f"UPDATE targets SET error = {BLOB} WHERE state = 'failed'")
    assert "2 would be accepted now" in client.get("/rejections/retry?webhook=github-deploys").text
    form = client.get("/webhooks/github-deploys/send").text
    assert "second" in form
    assert "first" not in form
    assert [group["number"] for group in client.get("/api/failures").json["groups"]] == [1]  # type: ignore[index]


def test_the_live_stream_tells_what_comes_beside_a_damaged_row(sample: Sample) -> None:
    damage(sample, f"UPDATE events SET received_at = {FAR} WHERE id = '{sample.events['refused']}'")
    damage(sample, "UPDATE rejections SET at = 'late'")
    event_id = new_event_id()
    sample.store.deliveries.append([NewEvent(event_id, "orders", sample.store.now(), "{}", {}, {}, 0)])
    assert event_id in [one.event_id for one in newest(sample.bridge())]
