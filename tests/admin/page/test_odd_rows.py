"""Rows that hold more than a page can show, or what no bridge wrote: the page shows what it can."""

from __future__ import annotations

from html import unescape
from unittest import mock

import pytest
from flask.testing import FlaskClient

from store.sql import rows
from tests.support.sample import Sample, keep_refused


def write(sample: Sample, statement: str, *values: object) -> None:
    with sample.store._connections.transaction() as db:  # type: ignore[attr-defined]
        db.execute(statement, values)


def test_of_very_many_targets_the_first_are_shown_and_the_others_counted(
    client: FlaskClient, sample: Sample
) -> None:
    event_id = sample.events["refused"]
    write(
        sample,
        "INSERT INTO targets (event_id, kind, workflow, state, attempts, due_at, created_at, webhook)"
        " WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)"
        " SELECT ?, 'start', 'w' || n, CASE WHEN n % 2 THEN 'done' ELSE 'failed' END, 1, 0, 0, 'github-deploys' FROM n",
        event_id,
    )
    with mock.patch("store.sql.rows.target_for_people", wraps=rows.target_for_people) as read:
        text = unescape(client.get(f"/events/{event_id}").text)
    assert 100 <= read.call_count <= 400, "however many there are"
    assert text.count('<li class="target">') == 100
    assert "901 more targets are not shown, 451 of them failed" in text
    assert "901 more targets: 450 done, 451 failed." in text
    assert len(client.get(f"/api/events/{event_id}").get_json()["targets"]) == 1001


@pytest.mark.parametrize("column", ["payload", "headers", "claims"])
def test_an_event_that_cannot_be_read_has_a_page_that_says_so(
    client: FlaskClient, sample: Sample, column: str
) -> None:
    for name in ("delivered", "pending"):
        write(
            sample, f"UPDATE events SET {column} = 'no json <b>' WHERE id = ?", sample.events[name]
        )
        page = client.get(f"/events/{sample.events[name]}")
        assert page.status_code == 200
        assert "It can't be read" in unescape(page.text)
        assert "<b>\n" not in page.text
        answer = client.get(f"/api/events/{sample.events[name]}")
        assert "can't be read" in str(answer.get_json()["cause"])
    assert client.get("/events?where=$.ref=x").status_code == 200


@pytest.mark.parametrize("column", ["payload", "headers"])
def test_an_event_that_cannot_be_read_hides_no_other_from_a_task(
    client: FlaskClient, sample: Sample, column: str
) -> None:
    before = client.get("/api/tasks/task-main").get_json()["events"]
    unread, *others = (one["eventId"] for one in before)
    write(sample, f"UPDATE events SET {column} = 'no json' WHERE id = ?", unread)
    answer = client.get("/api/tasks/task-main")
    assert answer.status_code == 200
    assert [one["eventId"] for one in answer.get_json()["events"]] == others
    assert client.get("/tasks/task-main").status_code == 200


def test_a_task_in_a_state_that_no_bridge_wrote_is_shown_as_broken(
    client: FlaskClient, sample: Sample
) -> None:
    write(sample, "UPDATE tasks SET state = 'odd', found_by = 'chance' WHERE id = 'task-main'")
    assert client.get("/tasks/task-main").status_code == 200
    assert "can't be read" in client.get("/api/tasks/task-main").get_json()["broken"]


def test_a_rejected_delivery_leads_to_what_is_kept_of_it(
    client: FlaskClient, sample: Sample
) -> None:
    kept_id = keep_refused(sample)
    assert f'href="/rejections/{kept_id}"' in client.get("/deliveries").text
    write(sample, "DELETE FROM raw_deliveries")
    assert "/rejections/0" not in client.get("/deliveries").text
