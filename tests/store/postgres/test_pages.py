"""What changes of a row is written into the row's own page, as long as nothing else fills that."""

from __future__ import annotations

import psycopg

from store.open import open_store
from store.records import Decision, NewTarget, Result
from testkit.postgres import Postgres
from tests.store.contract.makers import ME, arrive, task
from tests.store.postgres_backend import migrated


def page_of(url: str, table: str, id_: object) -> int:
    """The page that has the row now."""
    with psycopg.connect(url) as database:
        sql = f"SELECT (ctid::text::point)[0]::int FROM webhook_bridge.{table} WHERE id = %s"
        [(page,)] = database.execute(sql.encode(), (id_,)).fetchall()
    return int(page)


def test_an_event_and_its_task_stay_in_their_pages_as_they_change(postgres: Postgres) -> None:
    """Their pages are as full as new rows make them."""
    url = migrated(postgres, "pages")
    store = open_store(url)
    assert store.leadership.elect(ME.holder, 600)
    for number in range(100):
        arrive(store, f"e{number}", payload='{"a": "' + "x" * 300 + '"}')
    store.tasks.adopt(ME, [task(n) for n in range(100)], store.now())
    rows = {("events", "e5"): page_of(url, "events", "e5"), ("tasks", "t5"): page_of(url, "tasks", "t5")}
    target = NewTarget("complete", "flow", "w5", "t5", "wait")
    [claimed] = store.decisions.decide(ME, [Decision("e5", "pending", "no", (target,))], [], store.now(), 1)
    store.claims.record_results(ME.holder, [Result(claimed, "done", workflow_id="w5")], store.now())
    store.close()
    assert {row: page_of(url, *row) for row in rows} == rows
    assert all(page_of(url, table, id_[0] + "99") > page for (table, id_), page in rows.items()), "others came after"
