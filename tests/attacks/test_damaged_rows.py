"""One row that can't be read hides nothing else: not on a page, nor in the API."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from admin.page.app import create_app
from store.delivery_records import RawDelivery, WithoutEvent
from tests.support.sample import Sample, keep_refused, make_sample

PAGES = (
    "/",
    "/deliveries",
    "/events",
    "/events?status=failed",
    "/events?where=$.ref%3Dx",
    "/failures",
    "/rejections",
    "/rejections/retry?webhook=github-deploys",
    "/replay?webhook=github-deploys",
    "/webhooks/github-deploys",
    "/webhooks/github-deploys/send",
    "/webhooks/github-deploys/try?path=$.ref&value=x",
    "/api/events",
    "/api/failures",
    "/api/overview",
    "/api/rejections",
)
OF_ONE = "WHERE id = (SELECT max(id) FROM raw_deliveries WHERE verdict = 'rejected')"
BLOB, FAR = "x'ff00fe'", "99999999999999999"


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    sample = make_sample(tmp_path)
    for number in range(3):
        keep_refused(sample, b'{"n": %d}' % number)
    for name in ("first", "second"):
        sample.store.raw_deliveries.save(
            RawDelivery("", "github-deploys", "saved", 1, name=name, body=b"{}"), 50
        )
    sample.store.without_events.record(
        [
            WithoutEvent(
                "orders",
                sample.store.now(),
                200,
                "",
                event_id=sample.events["expired"],
                kind="duplicate",
            )
        ],
        {},
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
        f"raw_deliveries SET headers = 'nonsense' {OF_ONE}",
        f"raw_deliveries SET body = '*' {OF_ONE}",
        "raw_deliveries SET headers = 'nonsense' WHERE name = 'first'",
        f"targets SET error = {BLOB} WHERE state = 'failed'",
        "targets SET attempts = 'many', due_at = 'later'",
        f"without_events SET reason = {BLOB}, at = 'late', status = 'none'",
        "without_events SET at = 'late' WHERE event_id IS NOT NULL",
        "targets SET state = 'odd', kind = 'odder'",
        "events SET status = 'odd'",
        f"events SET received_at = {FAR}",
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
    damage(sample, f"UPDATE raw_deliveries SET headers = '{{' {OF_ONE}")
    damage(sample, "UPDATE raw_deliveries SET headers = '{' WHERE name = 'first'")
    damage(sample, f"UPDATE targets SET error = {BLOB} WHERE state = 'failed'")
    assert "2 would be accepted now" in client.get("/rejections/retry?webhook=github-deploys").text
    form = client.get("/webhooks/github-deploys/send").text
    assert "second" in form
    assert "first" not in form
    assert [group["number"] for group in client.get("/api/failures").json["groups"]] == [1]  # type: ignore[index]
