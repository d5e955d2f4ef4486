"""What is claimed, recorded and given back, and when: the thread that owns it is played step by step, or runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from store.errors import StoreUnavailable, Unstorable
from store.records import Decision, Event, NewEvent, NewTarget, Result
from testkit import PATIENCE
from tests.store.contract.makers import ME
from tests.worker.play import Later
from tests.worker.targets import Bench, bench
from worker.delivery.executor import PAYLOAD
from worker.delivery.messages import NONE_RUNS

__all__ = ["bench"]


class Played:
    """An executor whose threads run when the test says so, under a clock that the test moves."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, payload: int = PAYLOAD) -> None:
        self.bench = bench
        self.pool = Later()
        self.executor = bench.executor = bench.another("me", self.pool, self, payload)
        self.now = 1000.0
        self.ahead = 0
        stores = bench.store.now
        monkeypatch.setattr(bench.store, "now", lambda: stores() + self.ahead)

    def monotonic(self) -> float:
        return self.now

    def messages(self) -> None:
        self.executor.take_messages(0)

    def work(self) -> None:
        self.executor.work(self.now)

    def due_in(self) -> float:
        return self.executor.due_in(self.now)

    def round(self) -> None:
        """The owner's thread once, after as long as it would wait."""
        self.messages()
        self.now += self.due_in()
        self.work()

    def later(self, seconds: float) -> None:
        """So long after, by this machine's clock and the store's."""
        self.now += seconds
        self.ahead += int(seconds * 1000)
        self.messages()
        self.work()

    def states(self) -> list[str]:
        return [target.state for target in self.bench.store.queries.targets_of([self.bench.event])]


@pytest.fixture
def played(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(bench, monkeypatch)


def starts(number: int) -> list[NewTarget]:
    return [NewTarget("start", "flow", correlation_id=f"event#{n}") for n in range(1, number + 1)]


# --- claiming and recording ---


def test_a_target_is_claimed_called_and_recorded(played: Played) -> None:
    played.bench.decide(played.bench.start(), claim=False)
    played.work()
    assert (played.states(), len(played.pool.jobs)) == (["claimed"], 1)
    played.pool.run()
    assert played.states() == ["claimed"]
    played.messages()
    played.work()
    assert played.states() == ["done"]


def test_a_message_that_is_held_is_logged_once_and_not_with_every_look(played: Played) -> None:
    played.bench.decide(NewTarget("message", "flow", correlation_id="k", lane="l", otherwise="hold"), claim=False)
    event = replace(played.bench.stored(), hold_until=played.bench.store.now() + 10**9)
    [target] = played.bench.store.claims.claim("me", 2**50, 0, 9)
    levels = []
    for attempt in (1, 2, 3):
        played.executor.submit([(replace(target, attempts=attempt, error=None if attempt == 1 else NONE_RUNS), event)])
        played.messages()
        with capture_logs() as logs:
            played.pool.run()
        levels += [one["log_level"] for one in logs if one["event"] == "target pending"]
    assert levels == ["info", "debug", "debug"]


def test_it_does_not_wait_while_there_is_something_to_record(played: Played) -> None:
    played.bench.decide(*starts(2), claim=False)
    played.work()
    assert played.due_in() == 0.25
    played.pool.run()
    played.messages()
    assert played.due_in() == 0, "the last results were recorded long ago"
    played.work()
    played.pool.run()
    played.messages()
    assert 0 < played.due_in() <= 0.005, "nothing else is to come, so it isn't worth waiting for a batch"


def test_results_that_come_one_after_the_other_are_recorded_together(played: Played) -> None:
    played.bench.decide(*starts(6), claim=False)
    played.work()
    recorded: list[int] = []
    record = played.bench.store.claims.record_results
    played.bench.store.claims.record_results = (  # type: ignore[method-assign]
        lambda worker, results, now: recorded.append(len(results)) or record(worker, results, now)  # type: ignore[func-returns-value]
    )
    played.pool.run()
    played.messages()
    played.work()
    for _ in range(3):
        played.pool.run()
        played.messages()
        played.work()
    assert recorded == [1]
    assert 0.04 < played.due_in() <= 0.05
    played.round()
    assert recorded == [1, 3]


@pytest.mark.parametrize("awaited", [False, True])
def test_while_enough_waits_to_be_called_results_are_recorded_with_the_next_claim(
    played: Played, awaited: bool
) -> None:
    new = [replace(one, once_key=f"k{n}", once_while="kept") if awaited else one for n, one in enumerate(starts(32))]
    played.bench.decide(*new, claim=False)
    played.work()
    played.pool.run()
    played.round()
    played.pool.run()
    played.messages()
    assert played.due_in() == pytest.approx(0.05 if awaited else 0.25), "unless another target waits for one of them"
    for _ in range(6):
        played.pool.run()
    played.messages()
    assert played.due_in() == pytest.approx(0.05), "what waits is called soon"


def test_what_is_recorded_leaves_room_that_is_filled_at_once(played: Played) -> None:
    played.bench.decide(*starts(40), claim=False)
    played.work()
    assert (len(played.pool.jobs), played.executor.free) == (16, 0)
    for _ in range(8):
        played.pool.run()
    played.messages()
    assert (len(played.pool.jobs), played.executor.free) == (16, 8)
    played.round()
    assert (len(played.pool.jobs), played.executor.free) == (16, 0)
    assert played.states().count("claimed") == 32


def test_news_of_targets_are_looked_at_without_waiting(played: Played) -> None:
    played.work()
    played.bench.decide(played.bench.start(), claim=False)
    assert played.due_in() == 0.25
    played.executor.wake()
    played.messages()
    assert played.due_in() == 0
    played.work()
    assert len(played.pool.jobs) == 1


def test_a_bug_in_a_call_loses_no_target(played: Played) -> None:
    played.bench.decide(played.bench.start(), claim=False)
    played.bench.conductor.start = lambda *_: 1 / 0  # type: ignore[method-assign]
    played.work()
    played.pool.run()
    played.round()
    [target] = played.bench.store.queries.targets_of([played.bench.event])
    assert target.state == "pending"
    assert "ZeroDivisionError" in str(target.error)


def test_a_target_that_another_worker_has_taken_over_is_in_flight_no_more(played: Played) -> None:
    played.bench.decide(played.bench.start(), claim=False)
    played.work()
    played.bench.store.claims.claim("another", 2**60, 2**60, 10)
    old = played.bench.store.now
    played.bench.store.now = lambda: old() + 5000  # type: ignore[method-assign]
    played.pool.run()
    played.messages()
    assert played.executor.free == 32
    assert played.states() == ["claimed"]
    assert played.bench.conductor.workflows == {}


# --- while Conductor is away ---


def test_while_conductor_is_away_one_call_at_a_time_tries_and_all_go_on_when_it_is_back(played: Played) -> None:
    played.bench.decide(*starts(5), claim=False)
    start = played.bench.conductor.start
    away = True

    def call(*given: Any) -> Any:
        played.bench.conductor.fault = "unreachable" if away else None
        return start(*given)

    played.bench.conductor.start = call  # type: ignore[method-assign,assignment]
    played.work()
    played.pool.run_all()
    played.round()
    assert played.states() == ["pending"] * 5
    assert played.executor.free == 0
    now = played.bench.store.now
    played.bench.store.now = lambda: now() + 60_000  # type: ignore[method-assign]
    played.now += 60
    played.work()
    assert len(played.pool.jobs) == 1
    played.pool.run_all()
    played.round()
    played.round()
    assert played.pool.jobs == [], "not before the pause is over"
    away = False
    played.executor.conductor_is_up()
    played.round()
    assert len(played.pool.jobs) == 5, "those that only waited are due"
    played.pool.run_all()
    played.round()
    assert played.states() == ["done"] * 5


def test_if_conductor_goes_away_nothing_of_the_many_in_flight_stays_there(played: Played) -> None:
    start, away = played.bench.conductor.start, False

    def call(*given: Any) -> Any:
        played.bench.conductor.fault = "unreachable" if away else None
        return start(*given)

    played.bench.conductor.start = call  # type: ignore[method-assign,assignment]
    played.bench.decide(*starts(400), claim=False)
    played.work()
    for _ in range(3):  # calls end fast
        for _ in range(10):
            played.pool.run_all()
            played.messages()
        played.later(0.1)
    assert played.states().count("claimed") > 64
    away = True
    for _ in range(10):
        played.pool.run_all()
        played.messages()
    played.later(0.1)
    assert "claimed" not in played.states()
    assert played.executor.free == 0
    played.later(60)
    assert len(played.pool.jobs) == 1, "it asks whether Conductor is back"
    away = False
    for _ in range(60):
        played.pool.run_all()
        played.later(0.1)
    assert played.states() == ["done"] * 400
    assert len(played.bench.conductor.workflows) == 400


def test_one_call_that_succeeds_says_that_conductor_is_back(played: Played) -> None:
    played.bench.decide(*starts(3), claim=False)
    played.bench.conductor.fault = "unreachable"
    played.work()
    played.pool.run()
    played.messages()
    assert played.executor.free == 0
    played.pool.run()
    played.messages()
    assert played.executor.free > 0


def test_starts_that_wait_for_another_with_their_key_do_not_say_that_conductor_is_back(played: Played) -> None:
    new = [NewTarget("start", "flow", correlation_id=str(n), once_key="k", once_while="running") for n in range(4)]
    played.bench.decide(*new, claim=False)
    played.bench.conductor.fault = "unreachable"
    played.work()
    calls = 0
    for _ in range(20):
        calls += len(played.pool.jobs)
        played.pool.run_all()
        played.round()
        assert played.executor.free == 0, "Conductor wasn't asked by any that waits"
    assert calls <= 8


# --- a store that can't be used ---


@pytest.mark.parametrize("error", [StoreUnavailable("locked"), ZeroDivisionError()])
@pytest.mark.parametrize("method", ["claim", "record_results"])
def test_it_tries_again_whatever_the_store_says(
    played: Played, method: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.bench.decide(played.bench.start(), claim=False)
    working, errors = getattr(played.bench.store.claims, method), [error]

    def failing(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return working(*given)

    monkeypatch.setattr(played.bench.store.claims, method, failing)
    played.work()
    played.pool.run_all()
    played.messages()
    played.work()
    assert played.due_in() > 0.2, "not at once"
    for _ in range(3):
        played.round()
        played.pool.run_all()
    assert played.states() == ["done"]


# --- stopping ---


def test_stopping_finishes_the_calls_in_flight_and_gives_back_what_was_not_begun(played: Played) -> None:
    played.bench.decide(*starts(30), claim=False)
    played.work()
    for _ in range(4):
        played.pool.run()
    played.executor.ask_to_stop()
    played.messages()
    assert played.executor.free == 0
    played.pool.run_all()
    assert not played.executor.ended
    played.round()
    assert played.executor.ended
    assert sorted(played.states()) == ["done"] * 4 + ["pending"] * 26
    assert len(played.bench.conductor.workflows) == 4
    again = played.bench.store.claims.claim("another", played.bench.store.now() + 1, 0, 30)
    assert {target.attempts for target in again} == {1}, "no call was made, so none is to be looked up"
    assert len(again) == 26, "another worker can have them at once"


def test_what_is_submitted_after_the_stop_is_given_back(played: Played) -> None:
    targets = played.bench.decide(*starts(3))
    played.executor.ask_to_stop()
    played.executor.submit([(target, played.bench.stored()) for target in targets])
    played.messages()
    assert not played.executor.ended
    played.round()
    assert played.executor.ended
    assert (played.states(), played.pool.jobs) == (["pending"] * 3, [])


def test_stopping_does_not_wait_forever_for_a_store_that_cannot_be_used(played: Played) -> None:
    played.bench.decide(*starts(2), claim=False)
    played.work()
    played.pool.run()

    def unavailable(*_: Any) -> None:
        raise StoreUnavailable("the disk is full")

    played.bench.store.claims.record_results = unavailable  # type: ignore[method-assign]
    played.executor.ask_to_stop()
    played.messages()
    began = played.now
    for _ in range(4):
        played.round()
    assert not played.executor.ended, "a call is in flight still: its result may be the one that can be recorded"
    played.pool.run()
    while not played.executor.ended:
        played.round()
        assert played.now < began + 20
    assert played.now >= began + 5


def test_stopping_does_not_wait_forever_for_calls_that_hang(played: Played) -> None:
    played.bench.decide(*starts(3), claim=False)
    played.work()
    played.pool.run()
    played.executor.ask_to_stop()
    began = played.now
    while not played.executor.ended:
        played.round()
        assert played.now < began + 8
    assert sorted(played.states()) == ["claimed", "claimed", "done"], (
        "the others are looked up when their claims run out"
    )


def test_what_is_submitted_after_the_signal_and_before_the_loops_end_is_given_back(played: Played) -> None:
    targets = played.bench.decide(*starts(2))
    played.executor.drain()
    played.messages()
    assert not played.executor.ended, "the loop may be deciding still"
    played.executor.submit([(target, played.bench.stored()) for target in targets])
    played.executor.ask_to_stop()
    played.round()
    assert (played.executor.ended, played.states(), played.pool.jobs) == (True, ["pending"] * 2, [])


# --- what one target does to others ---


class Refusing:
    """A store that refuses results with a certain text, for ever."""

    def __init__(self, bench: Bench, refused: str, error: Exception) -> None:
        self.batches: list[int] = []
        record = bench.store.claims.record_results

        def refusing(worker: str, results: Sequence[Result], now: int) -> None:
            self.batches.append(len(results))
            if any(refused in str(result.error) for result in results):
                raise error
            record(worker, results, now)

        bench.store.claims.record_results = refusing  # type: ignore[method-assign]


@pytest.mark.parametrize("error", [ValueError("a surrogate"), StoreUnavailable("statement timeout")])
def test_a_result_that_the_store_refuses_holds_up_no_other(played: Played, error: Exception) -> None:
    played.bench.decide(*starts(7), NewTarget("start", "unknown", correlation_id="x"), claim=False)
    Refusing(played.bench, "No such workflow", error)
    played.work()
    played.pool.run_all()
    for _ in range(12):
        played.round()
    assert played.states().count("done") == 7
    if not isinstance(error, StoreUnavailable):
        [target] = [t for t in played.bench.store.queries.targets_of([played.bench.event]) if t.workflow == "unknown"]
        assert (target.state, "can't be recorded" in str(target.error)) == ("failed", True)


def test_a_target_that_fails_in_a_way_nobody_foresaw_is_set_aside_until_it_ends(played: Played) -> None:
    played.bench.decide(*starts(2), claim=False)
    start = played.bench.conductor.start

    def poisoned(*given: Any) -> Any:
        if given[3] == "event#1":
            raise KeyError("\ud800")
        return start(*given)

    played.bench.conductor.start = poisoned  # type: ignore[method-assign]
    played.work()
    played.pool.run_all()
    played.round()
    assert sorted(played.states()) == ["done", "pending"]
    [aside] = played.bench.store.quarantine.items("target")
    assert (aside.webhook, aside.tries, "KeyError" in aside.reason) == ("w", 1, True)
    for tries in (2, 3):
        played.later(600)
        played.pool.run_all()
        played.round()
        [again] = played.bench.store.quarantine.items("target")
        assert (again.tries, again.since) == (tries, aside.since)
    played.bench.conductor.start = start  # type: ignore[method-assign]
    played.later(600)
    played.pool.run_all()
    played.round()
    assert (played.states(), played.bench.store.quarantine.items("target")) == (["done"] * 2, [])


def test_targets_that_can_be_neither_set_aside_nor_given_back_hold_up_no_others(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any) -> None:
        raise Unstorable("too large")

    given_back, sick = played.bench.decide(*starts(2))
    played.executor._recording.give_back(given_back)
    played.executor._recording.set_aside(sick, "w", "why")
    played.bench.decide(played.bench.start(), claim=False, received_at=1)
    monkeypatch.setattr(played.bench.store.quarantine, "set_aside", refuse)
    monkeypatch.setattr(played.bench.store.claims, "give_back", refuse)
    for _ in range(3):
        played.later(1)
        played.pool.run_all()
    assert played.states() == ["done"]
    assert len(played.executor._recording) == 0


@pytest.mark.parametrize("how", ["missing", "unreadable", "garbage"])
def test_a_target_whose_event_cannot_be_read_is_set_aside(played: Played, how: str) -> None:
    bench = played.bench
    bench.decide(bench.start(), claim=False)
    poisoned = bench.event
    queries = bench.store.queries

    def reading(read: Callable[..., dict[str, Event]], ids: Sequence[str], *most: int) -> dict[str, Event]:
        if poisoned in ids and how == "unreadable":
            raise ValueError("not JSON")
        found = read(ids, *most)
        if poisoned in found and how == "garbage":
            found[poisoned] = replace(found[poisoned], payload="garbage")
        if how == "missing":
            found.pop(poisoned, None)
        return found

    queries.events_of = partial(reading, queries.events_of)  # type: ignore[method-assign]
    queries.events_up_to = partial(reading, queries.events_up_to)  # type: ignore[method-assign]
    bench.decide(*starts(3), claim=False, received_at=1)
    played.work()
    played.pool.run_all()
    played.round()
    played.round()
    assert played.states() == ["done"] * 3
    [aside] = bench.store.quarantine.items("target")
    [target] = bench.store.queries.targets_of([poisoned])
    assert (aside.id, target.state, bool(target.error)) == (str(target.id), "pending", True)


def test_events_with_small_payloads_are_read_together(played: Played) -> None:
    queries = played.bench.store.queries
    read: list[int] = []
    up_to, of = queries.events_up_to, queries.events_of
    queries.events_up_to = lambda ids, most: read.append(len(ids)) or up_to(ids, most)  # type: ignore
    queries.events_of = lambda ids: read.append(len(ids)) or of(ids)  # type: ignore
    for number in range(20):
        played.bench.decide(played.bench.start(), claim=False, received_at=number + 1)
    played.work()
    assert read == [20]


def test_no_more_payload_is_in_flight_than_fits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(bench, monkeypatch, payload=50)
    now = bench.store.now()
    names = [f"event{number}" for number in range(30)]
    for name in names:
        bench.store.deliveries.append([NewEvent(name, "w", now, '{"a": 1234}', {}, {}, now)])
        new = NewTarget("start", "flow", correlation_id=name)
        bench.store.decisions.decide(ME, [Decision(name, "pending", "no", (new,))], [], now, None, 0)
    most = 0
    for _ in range(100):
        played.round()
        most = max(most, len(played.pool.jobs))
        if played.pool.jobs:
            played.pool.run()
    assert most <= 4 + 8, "eight are read before their size is known"
    assert {target.state for target in bench.store.queries.targets_of(names)} == {"done"}


class Shared:
    """Two webhooks; the calls of one hang until the test lets them."""

    def __init__(self, played: Played) -> None:
        self.played = played
        self.ids: dict[str, list[str]] = {"sick": [], "well": []}

    def arrive(self, name: str, number: int, workflow: str = "flow", webhook: str = "") -> None:
        bench = self.played.bench
        now = bench.store.now()
        for _ in range(number):
            id_ = f"{name}{len(self.ids[name])}"
            self.ids[name].append(id_)
            bench.store.deliveries.append([NewEvent(id_, webhook or name, now, "{}", {}, {}, now)])
            new = NewTarget("start", workflow, correlation_id=id_)
            bench.store.decisions.decide(ME, [Decision(id_, "pending", "no", (new,))], [], now, None, 0)

    def run_well(self) -> None:
        """The calls of the webhook that is well end; those of the other hang."""
        pool = self.played.pool
        index = 0
        while index < len(pool.jobs):
            target = pool.jobs[index].args[0].claimed.target  # type: ignore[attr-defined]
            if target.event_id.startswith("well"):
                pool.run(index)
            else:
                index += 1

    def done(self, webhook: str) -> int:
        found = self.played.bench.store.queries.targets_of(self.ids[webhook])
        return sum(target.state == "done" for target in found)


def test_calls_that_hang_take_no_slots_from_others(played: Played) -> None:
    shared = Shared(played)
    shared.arrive("sick", 200)
    played.work()
    assert len(played.pool.jobs) == 16
    for round_ in range(1, 6):
        shared.arrive("well", 20)
        began = played.now
        while shared.done("well") < 20 * round_:
            played.later(0.25)
            shared.run_well()
            assert played.now < began + 5, "all others have their effect in time"
        assert len(played.pool.jobs) <= 64
    # They are lost at last, and it is known that they hang: a few at a time are tried from now on.
    for job in list(played.pool.jobs):
        played.pool.jobs.remove(job)
        played.bench.conductor.fault = "lost_before"
        job()
    for _ in range(100):
        played.later(0.25)
    assert 1 <= len(played.pool.jobs) <= 2 + 8, "of those that were tried, and of the others"
    played.pool.run_all()
    for _ in range(200):
        played.later(0.25)
        played.pool.run_all()
    assert shared.done("sick") == 200, "they are well again"


def test_items_that_hang_hold_up_no_others_of_their_own_webhook_and_workflow(played: Played) -> None:
    """Every hundredth item hangs for three seconds whenever it is called for, and comes to nothing."""
    shared = Shared(played)
    hangs_until: dict[Any, float] = {}
    conductor = played.bench.conductor
    born: dict[str, float] = {}
    late: dict[str, float] = {}

    def end_calls() -> None:
        for job in list(played.pool.jobs):
            id_ = job.args[0].claimed.target.event_id  # type: ignore[attr-defined]
            if id_.startswith("sick"):
                if played.now < hangs_until.setdefault(job, played.now + 3):
                    continue
                conductor.fault = "lost_before"
            else:
                late[id_] = played.now - born[id_]
            played.pool.jobs.remove(job)
            job()
            conductor.fault = None

    for step in range(500):
        if step < 300 and step % 10 == 0:
            shared.arrive("sick", 1 if step < 100 else 0, webhook="one")
            shared.arrive("well", 1, webhook="one")
            born[shared.ids["well"][-1]] = played.now
        played.later(0.1)
        end_calls()
    assert len(late) == 30
    assert max(late.values()) < 3


def test_a_call_that_the_pool_has_queued_and_refused_is_not_made_beside_the_next_one(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ThreadPoolExecutor does where no thread can be started: a thread that it has takes the call later."""
    submit = played.pool.submit

    def refuse(*given: Any) -> None:
        submit(*given)
        raise RuntimeError("can't start new thread")

    played.bench.decide(played.bench.start(), claim=False)
    with monkeypatch.context() as patch:
        patch.setattr(played.pool, "submit", refuse)
        played.work()
    played.later(1)
    assert played.states() == ["pending"]
    played.later(3)
    played.pool.run_all()
    played.later(1)
    assert played.states() == ["done"]
    assert len(played.bench.conductor.workflows) == 1


# --- with threads ---


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_targets_are_claimed_called_and_recorded(bench: Bench) -> None:
    task = bench.task()
    bench.decide(bench.completion(task), bench.start(), claim=False)
    bench.executor.start()
    bench.executor.wake()
    eventually(lambda: bench.stored().status == "delivered")
    bench.executor.stop()
    targets = bench.store.queries.targets_of([bench.event])
    assert [(target.state, target.attempts, target.claimed_by) for target in targets] == [("done", 1, "me")] * 2
    assert bench.store.queries.task(task.id).state == "completed"  # type: ignore[union-attr]


def test_its_thread_goes_on_after_an_unforeseen_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.decide(bench.start(), claim=False)
    due_in, failed = bench.executor.due_in, threading.Event()

    def fails_once(now: float) -> float:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("a bug")
        return due_in(now)

    monkeypatch.setattr(bench.executor, "due_in", fails_once)
    with capture_logs() as logs:
        bench.executor.start()
        eventually(lambda: bench.stored().status == "delivered")
    bench.executor.stop()
    assert "the executor failed unexpectedly; going on" in [line["event"] for line in logs]


def test_the_decider_hears_of_an_event_that_is_free_again(bench: Bench) -> None:
    task = bench.task()
    bench.decide(bench.completion(task), claim=False)
    bench.conductor.end(task.id, "CANCELED")
    listener = bench.store.signals.listener("events")
    bench.executor.start()
    listener.wait(60)
    listener.close()
    bench.executor.stop()
    assert [event.id for event in bench.store.decisions.agenda(10).freed] == [bench.event]


def test_a_stop_that_comes_while_targets_are_being_claimed_ends(bench: Bench) -> None:
    bench.decide(*starts(5), claim=False)
    claiming, go_on = threading.Event(), threading.Event()
    claim = bench.store.claims.claim

    def slow(*given: Any) -> Any:
        claiming.set()
        assert go_on.wait(PATIENCE)
        return claim(*given)

    bench.store.claims.claim = slow  # type: ignore[method-assign]
    bench.executor.start()
    assert claiming.wait(PATIENCE)
    stopping = threading.Thread(target=bench.executor.stop, daemon=True)
    stopping.start()
    time.sleep(0.1)  # as far as the stop gets
    go_on.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert "claimed" not in [target.state for target in bench.store.queries.targets_of([bench.event])]
