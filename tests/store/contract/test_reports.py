"""What processes report is what others read, whatever else is written there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from store import reports
from store.reports import GONE_FOR, Misfit, Reports
from store.sql.facts import SET_FACT
from store.sql.store import Store

MISFIT = Misfit("no workflow w", "register it", ("one", "two"), 9)


def write_rows(store: Any, rows: dict[str, str], at: int = 1) -> None:
    """Writes rows as another version of the program may have written them."""
    with store._connections.transaction() as transaction:
        for name, text in rows.items():
            transaction.write(SET_FACT, (name, text, at))


def test_what_was_reported_last_is_read(store: Store, other: Store) -> None:
    told = Reports(
        conductor="up",
        clock_offset=0,
        index_searched_for=frozenset({"b", "a"}),
        misfits=(MISFIT,),
        index_fails="w: 503",
        relay_definitions_error="webhooks.yaml:3",
    )
    store.reports.write(Reports(conductor="down", another_server="t1"))
    other.reports.write(told)
    store.reports.write(Reports(another_server=""))
    store.verifications.salt()
    read = store.reports.read()
    assert read == replace(told, conductor_at=read.conductor_at)
    assert read.conductor_at is not None
    store.reports.write(Reports(misfits=(), index_searched_for=(), index_fails=""))
    read = store.reports.read()
    assert (read.misfits, read.index_searched_for, read.index_fails) == (None, None, None)


def test_rows_of_another_version_of_the_program_break_no_reader(store: Store) -> None:
    write_rows(
        store,
        {
            "conductor": "up",
            "conductor_clock_offset": "-12 ms",
            "index_searched_for": "7",
            "workflow_problems": '[{"what": "a", "remedy": "b", "webhooks": [], "number": 1, "new": 2}]',
            "something_new": "x",
        },
    )
    assert store.reports.read() == Reports(
        conductor="up", conductor_at=1, misfits=(Misfit("a", "b", (), 1),)
    )
    for text in ("no JSON", "{}", "[{}]", "[7]", "null"):
        write_rows(store, {"workflow_problems": text})
        assert not store.reports.read().misfits


def test_a_webhook_is_gone_until_it_is_defined_or_for_a_day(store: Store) -> None:
    now = store.now()
    write_rows(store, {f"{reports.GONE}old": "1"}, at=now - GONE_FOR - 1)
    assert store.reports.read().webhooks_gone == {}
    store.reports.webhooks_gone({"old", "new", "here"}, {"here"})
    gone = store.reports.read().webhooks_gone
    assert gone.keys() == {"old", "new"}
    store.reports.webhooks_gone({"new"}, {"old"})
    assert store.reports.read().webhooks_gone == {"new": gone["new"]}


def test_what_clients_of_orkes_api_said_of_a_webhook_is_forgotten_with_it(store: Store) -> None:
    for webhook in ("a", "b"):
        store.orkes_clients.set("tags", webhook, "[1]")
        store.orkes_clients.set("orkes", webhook, "{}")
    store.orkes_clients.set("orkes", "b", "")
    store.orkes_clients.forget("a")
    assert (store.orkes_clients.all("tags"), store.orkes_clients.all("orkes")) == ({"b": "[1]"}, {})
