"""The worker's definitions: where it begins, and what it says of webhooks that go. Messages between
its threads."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.last_good import LastGood
from config.watch import DefinitionsSource
from config.webhooks import DefinitionsError
from store.errors import StoreUnavailable
from store.sqlite import SqliteStore, open_store
from tests.support.settings import settings_with
from worker import metrics
from worker.context import Inbox, open_definitions

ONE = "- {name: one, verifier: none, receivers: {w: any}}\n"
TWO = "- {name: two, verifier: none, receivers: {w: any}}\n"


class Setup:
    """A file of definitions, and a store."""

    def __init__(self, folder: Path):
        self.file = folder / "webhooks.yaml"
        self.url = f"sqlite:///{folder / 'bridge.db'}"
        self.store: SqliteStore = open_store(self.url)

    def watch(self, left: str = "") -> DefinitionsSource:
        settings = settings_with(
            bridge_webhooks=self.file, bridge_database=self.url, bridge_leave_to_conductor=left
        )
        return open_definitions(settings, self.store)

    def write(self, *webhooks: str) -> None:
        self.file.write_text("webhooks:\n" + "".join(webhooks))


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def ok() -> float:
    return metrics.DEFINITIONS_OK.labels("worker")._value.get()


def test_a_worker_begins_with_what_was_kept_while_the_file_is_broken(setup: Setup) -> None:
    setup.write(ONE, TWO)
    relays = LastGood()
    relays.load(setup.file)
    setup.store.kept_definitions.keep(relays.kept())
    setup.watch().announce()
    assert ok() == 1
    setup.file.write_text("webhooks: [")
    source = setup.watch()
    assert sorted(source.current.by_name) == ["one", "two"]
    assert ok() == 0
    source.announce()
    assert "webhooks.yaml:1: YAML" in setup.store.reports.read().worker_definitions_error
    setup.write(ONE)
    source.force()
    assert source.check()
    assert ok() == 1
    assert not setup.store.reports.read().worker_definitions_error


def test_a_worker_needs_no_secret(setup: Setup) -> None:
    setup.write(
        "- {name: one, headers: {A: '${NOT_SET}', B: '${file:nothing}'}, receivers: {w: any}}\n"
    )
    source = setup.watch()
    assert list(source.current.by_name) == ["one"]
    assert source.error is None
    source.announce()
    assert setup.store.kept_definitions.all() == {}, "what is good is the relay's to say"


def test_with_nothing_kept_broken_definitions_are_an_error(setup: Setup) -> None:
    setup.file.write_text("webhooks: [")
    with pytest.raises(DefinitionsError):
        setup.watch()


def test_the_going_of_a_webhook_is_noted_until_it_is_back(setup: Setup) -> None:
    setup.write(ONE, TWO)
    source = setup.watch()
    source.announce()
    setup.write(ONE)
    source.force()
    source.check()
    assert list(setup.store.reports.read().webhooks_gone) == ["two"]
    setup.write(ONE, TWO)
    source.force()
    source.check()
    assert setup.store.reports.read().webhooks_gone == {}


def test_what_is_left_to_conductor_is_no_receiver_and_is_not_started(setup: Setup) -> None:
    setup.write(
        "- {name: one, verifier: none, receivers: {w: any, theirs: [2]}, starts: [{workflow: theirs}, {workflow: s}]}"
        "\n",
        "- {name: two, verifier: none, receivers: {theirs: any}}\n",
    )
    source = setup.watch(left="theirs, other")
    one, two = source.current.webhooks
    assert (dict(one.receivers), [start.workflow for start in one.starts]) == ({"w": None}, ["s"])
    assert (dict(two.receivers), two.starts) == ({}, ())
    assert (list(source.current.by_receiver), source.current.starts) == (["w"], ["s"])


def test_what_is_left_to_conductor_stays_left_when_the_definitions_change(setup: Setup) -> None:
    setup.write(ONE)
    source = setup.watch(left="theirs")
    setup.write("- {name: one, verifier: none, receivers: {theirs: any, other: any}}\n")
    assert source.check()
    assert list(source.current.by_receiver) == ["other"]


def test_messages_that_come_meanwhile_are_for_the_next_time() -> None:
    """Otherwise a thread to which others always have something to say would do nothing else."""
    inbox = Inbox("the owner")
    handled: list[int] = []

    def handle(number: int) -> None:
        handled.append(number)
        if number < 1000:
            inbox.put(partial(handle, number + 2))

    for number in (0, 1):
        inbox.put(partial(handle, number))
    inbox.handle(0)
    assert handled == [0, 1]
    inbox.handle(0)
    assert handled == [0, 1, 2, 3]


def test_a_message_that_fails_is_logged_and_the_others_are_handled() -> None:
    inbox = Inbox("the owner")
    handled: list[str] = []

    def fail(error: Exception) -> None:
        raise error

    for message in (partial(fail, RuntimeError("a bug")), partial(handled.append, "first")):
        inbox.put(message)
    with capture_logs() as logs:
        inbox.handle(0)
    assert handled == ["first"]
    assert [line["event"] for line in logs] == ["a message to the owner failed unexpectedly"]
    inbox.put(partial(fail, StoreUnavailable("away")))
    inbox.put(partial(handled.append, "second"))
    with pytest.raises(StoreUnavailable):
        inbox.handle(0)
    inbox.handle(0)
    assert handled == ["first", "second"]
