"""CheckResult waiting tasks: a scan is whole or nothing, and the index is asked whenever the queue may not know."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from store.records import Task
from tests.worker.clock import Clock
from tests.worker.discovery.known import Known
from tests.worker.simulated import SimulatedConductor, failed
from worker.conductor.answers import Unreadable
from worker.conductor.errors import ConductorError, NotNow, OutcomeUnknown, Unreachable
from worker.conductor.search import in_progress
from worker.discovery.discovery import Discovery, Ended
from worker.discovery.index import Index
from worker.discovery.reconciliation import Outcome
from worker.discovery.scanner import Scanner
from worker.discovery.state import LATE_POLLS, DiscoveryState


class Bench:
    """A scanner and what it finds."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000
        self.clock = Clock(1000.0)
        self.conductor = SimulatedConductor(lambda: self.ms)
        self.found: list[Task] = []
        self.gone: list[str] = []
        self.known = Known()
        self.outcomes: list[Outcome] = []
        self.pool = ThreadPoolExecutor(2)
        self.state = DiscoveryState(self.clock)
        self.index = Index(self.conductor, self.pool, self.known, self.state)  # type: ignore[arg-type]
        self.index.receivers = ["flow"]
        self.scanner = self.another()
        self.searches: list[int] = []
        search = self.conductor.waiting_since

        def counted(start: int, unreadable: Any = None) -> Any:
            self.searches.append(start)
            return search(start, unreadable)

        self.conductor.waiting_since = counted  # type: ignore[method-assign]

    def another(self, *domains: str) -> Scanner:
        return Scanner(self.conductor, self.index, "me", domains)  # type: ignore[arg-type]

    def scan(self) -> None:
        """One scan, to its end."""
        for tasks in self.scanner.scan():
            self.found += tasks

    def task_of(self, task_id: str) -> Task:
        """The task as the server shows it."""
        return self.conductor._task(self.conductor.tasks[task_id])

    def discovery(self, step: int = 500) -> Discovery:
        return Discovery(self.conductor, self.index, step)  # type: ignore[arg-type]

    def discover(self, discovery: Discovery, *waiting: str) -> None:
        """One discovery while these tasks are known to wait."""
        self.known.add(*waiting)
        for found in discovery.run(self.ms):
            if isinstance(found, Ended):
                self.gone += found.task_ids
            else:
                self.found += found
        if discovery.outcome is not None:
            self.outcomes.append(discovery.outcome)

    def schedule(self, number: int = 1) -> list[str]:
        workflow = self.conductor.begin("flow")
        return [self.conductor.schedule(workflow.id, f"wait{n}", {}).id for n in range(number)]

    def pass_(self, seconds: float) -> None:
        """Time passes, for what goes by the monotonic clock."""
        self.clock.seconds += seconds

    def ids(self) -> list[str]:
        found, self.found[:] = [task.id for task in self.found], []
        return found


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.pool.shutdown()


def test_the_queue_is_polled_until_it_is_empty(bench: Bench) -> None:
    bench.scan()
    tasks = bench.schedule(10)
    bench.scan()
    assert bench.scanner.began == bench.ms
    assert bench.ids() == tasks
    bench.scan()
    assert bench.scanner.began == bench.ms
    assert bench.ids() == []


def test_a_scan_ends_though_tasks_go_on_coming(bench: Bench) -> None:
    tasks = bench.schedule(10)
    polls = 0
    poll = bench.conductor.poll

    def slow(*given: Any) -> list[Task]:
        nonlocal polls
        polls += 1
        assert polls < 50, "the scan doesn't end"
        bench.ms += 1001
        bench.schedule()
        return poll(*given)

    bench.conductor.poll = slow  # type: ignore[method-assign,assignment]
    bench.scan()
    assert bench.scanner.complete
    assert set(tasks) <= set(bench.ids())


def test_a_queue_that_hands_out_whole_batches_of_new_tasks_may_hold_older_ones(bench: Bench) -> None:
    bench.scan()
    old = bench.schedule(1)
    bench.conductor.tasks[old[0]].status = "later"

    def poll(worker_id: str, domain: Any, unreadable: list[Any], count: int, _: float) -> list[Task]:
        if bench.conductor.tasks[old[0]].status == "later":
            bench.conductor.tasks[old[0]].status = "SCHEDULED"
            bench.ms += 5000
            return [replace(bench.task_of(new), scheduled_at=bench.ms) for new in bench.schedule(count)]
        return SimulatedConductor.poll(bench.conductor, worker_id, domain, unreadable, count)

    bench.conductor.poll = poll  # type: ignore[method-assign,assignment]
    bench.scan()
    assert old[0] in bench.ids()


class Sick:
    """A queue that fails over one of its tasks whenever that is among what it is to hand out."""

    def __init__(self, bench: Bench, sick: str | None) -> None:
        """With no `sick` task it fails over each."""
        self.bench = bench
        self.sick = sick
        self.polls: list[int] = []

    def poll(self, worker_id: str, domain: Any, unreadable: list[Any], count: int, _: float) -> list[Task]:
        """A poll of the worker's."""
        self.polls.append(count)
        conductor = self.bench.conductor
        first = [task for task in conductor.tasks.values() if task.status == "SCHEDULED"][:count]
        if self.sick is None or any(task.id == self.sick for task in first):
            if count == 1 and self.sick is not None:  # it is handed out, and its answer gets lost
                SimulatedConductor.poll(conductor, worker_id, domain, unreadable, 1)
            raise failed(500)
        return SimulatedConductor.poll(conductor, worker_id, domain, unreadable, count)


def test_a_poll_that_fails_over_one_task_is_narrowed_down_to_it(bench: Bench) -> None:
    bench.scan()
    tasks = bench.schedule(10)
    sick = Sick(bench, tasks[6])
    bench.conductor.poll = sick.poll  # type: ignore[method-assign,assignment]
    bench.scan()
    assert bench.scanner.complete
    assert sorted(set(bench.ids())) == tasks  # the index knows the one whose poll failed
    assert len(sick.polls) < 20


def test_if_polls_for_single_tasks_go_on_failing_it_is_conductor_that_is_away(bench: Bench) -> None:
    bench.scan()
    sick = Sick(bench, None)
    bench.conductor.poll = sick.poll  # type: ignore[method-assign,assignment]
    with pytest.raises(OutcomeUnknown):
        bench.scan()
    assert sick.polls == [100, 1, 1, 1, 1, 1]


def test_every_domains_queue_is_swept(bench: Bench) -> None:
    with mock.patch.object(bench.conductor, "poll", return_value=[]) as poll:
        list(bench.another("billing", "other").scan())
    assert [call.args[:2] for call in poll.call_args_list] == [("me", None), ("me", "billing"), ("me", "other")]


def test_a_scan_began_before_its_first_poll(bench: Bench) -> None:
    poll = bench.conductor.poll

    def slow(*given: Any) -> Any:
        bench.ms += 500
        return poll(*given)

    bench.conductor.poll = slow  # type: ignore[method-assign,assignment]
    began = bench.ms
    bench.schedule()
    bench.scan()
    assert bench.scanner.began == began


def test_the_first_scan_searches_the_index_for_what_others_have_polled(bench: Bench) -> None:
    [task] = bench.schedule()
    bench.conductor.poll("somebody")
    bench.scan()
    assert bench.ids() == [task]
    assert bench.searches == [0]


def test_later_scans_search_once_a_task_was_found_by_the_index_alone_and_for_what_is_new(bench: Bench) -> None:
    bench.scan()
    bench.scan()
    assert bench.searches == [0]
    bench.state.found_by_index_alone()
    first = bench.ms
    bench.scan()
    bench.ms += 1000
    bench.scan()
    assert bench.searches == [0, first - 15_000, first - 15_000]


def test_what_an_overlapping_search_sees_again_is_not_found_again(bench: Bench) -> None:
    bench.state.found_by_index_alone()
    [task] = bench.schedule()
    bench.conductor.poll("somebody")
    bench.scan()
    bench.scan()
    assert bench.ids() == [task]


def test_a_poll_whose_answer_got_lost_is_no_scan_and_the_next_one_asks_the_index(bench: Bench) -> None:
    bench.scan()
    [task] = bench.schedule()
    bench.conductor.poll_fault = "lost"
    with pytest.raises(OutcomeUnknown):
        bench.scan()
    assert bench.ids() == []
    bench.scan()
    assert bench.ids() == [task]
    bench.scan()
    assert len(bench.searches) == 3, "the poll may still be carried out"
    bench.pass_(LATE_POLLS)
    bench.scan()
    assert len(bench.searches) == 3


def test_a_poll_that_never_reached_conductor_has_lost_nothing(bench: Bench) -> None:
    bench.scan()
    bench.conductor.poll_fault = "unreachable"
    with pytest.raises(Unreachable):
        bench.scan()
    bench.scan()
    assert len(bench.searches) == 1


def fail(*_: Any) -> Any:
    raise NotNow("the index is down")


def test_where_the_index_was_never_of_use_scans_go_on_without_it_after_a_few_tries(bench: Bench) -> None:
    bench.conductor.waiting_since = fail  # type: ignore[method-assign,assignment]
    for _ in range(2):
        bench.scan()
        assert not bench.scanner.complete
        bench.pass_(15)
    bench.scan()
    assert bench.scanner.complete
    [task] = bench.schedule()
    bench.scan()
    assert bench.ids() == [task]


def test_where_tasks_are_known_by_the_index_alone_no_scan_is_complete_without_it(bench: Bench) -> None:
    bench.state.found_by_index_alone()
    bench.conductor.waiting_since = fail  # type: ignore[method-assign,assignment]
    for _ in range(10):
        bench.scan()
        assert not bench.scanner.complete
        bench.pass_(16)


def test_what_could_not_be_stored_is_searched_for_again(bench: Bench) -> None:
    bench.schedule()
    bench.conductor.poll("somebody")
    for _ in bench.scanner.scan():
        break  # the store is locked
    bench.scan()
    assert len(bench.ids()) == 1


# --- discovery ---


def test_a_discovery_reads_everything_at_first_and_rarely_again_and_else_what_is_new(bench: Bench) -> None:
    discovery = bench.discovery()
    bench.schedule()
    bench.conductor.poll("somebody")
    bench.scan()
    since = []
    for _ in range(81):
        bench.discover(discovery)
        since.append(bench.searches[-1])
        bench.ms += 30_000
    assert [number for number, start in enumerate(since) if start == 0] == [0, 40, 80]
    assert since[1] == bench.ms - 80 * 30_000 - 30_000 - 15_000
    assert all(later - sooner == 30_000 for sooner, later in itertools.pairwise(since[1:40]))


def test_a_discovery_says_which_waiting_tasks_have_ended(bench: Bench) -> None:
    ended, waits = bench.schedule(2)
    bench.conductor.end(ended, "CANCELED")
    bench.discover(bench.discovery(), ended, waits, "unknown to Conductor")
    assert sorted(set(bench.gone)) == [ended, "unknown to Conductor"]


def test_without_an_index_waiting_tasks_are_asked_for_one_by_one_in_turn(bench: Bench) -> None:
    tasks = bench.schedule(120)
    bench.conductor.waiting_since = fail  # type: ignore[method-assign,assignment]
    for task in tasks[::40]:
        bench.conductor.end(task, "TIMED_OUT")
    discovery = bench.discovery()
    for _ in range(3):
        with pytest.raises(ConductorError):
            bench.discover(discovery, *tasks)
    assert bench.gone == tasks[::40]


def test_an_event_without_a_taker_has_the_next_scan_search_that_may(bench: Bench) -> None:
    state = bench.state
    bench.scan()
    assert state.search_due_in() == float("inf")
    assert not state.may_search()
    state.want_search()
    bench.pass_(0.25)
    assert state.search_due_in() == 0.75
    bench.scan()
    assert len(bench.searches) == 1
    bench.pass_(0.75)
    assert state.may_search()
    bench.scan()
    assert len(bench.searches) == 2
    assert state.search_due_in() == float("inf")


def test_an_index_that_says_a_task_has_ended_is_no_proof(bench: Bench) -> None:
    [task] = bench.schedule()
    bench.scan()
    with mock.patch.object(bench.conductor, "ended_since", return_value={task}):
        bench.discover(bench.discovery(), task)
    assert bench.gone == []


# --- the patrol: what no search finds ---


def unindexed(bench: Bench, number: int = 1) -> list[str]:
    """Tasks that the index never learns of, beside one that it shows, and that is known."""
    [shown, *hidden] = [task for _ in range(1 + number) for task in bench.schedule()]
    while bench.conductor.poll("somebody"):
        pass
    bench.known.add(shown)
    bench.conductor.unindexed = set(hidden)
    return hidden


def test_a_task_that_the_index_never_learns_of_is_found_after_conductor_was_away(bench: Bench) -> None:
    discovery = bench.discovery()
    bench.discover(discovery)
    [task] = unindexed(bench)
    bench.ms += 31_000
    bench.discover(discovery)
    assert task not in bench.ids()
    bench.state.conductor_was_away()
    bench.discover(discovery)
    assert task in bench.ids()
    assert bench.outcomes == [Outcome(waiting=0, unindexed=0), Outcome(waiting=2, unindexed=1)]


def test_it_is_found_at_the_first_discovery_of_a_worker_and_rarely_again(bench: Bench) -> None:
    [task] = unindexed(bench)
    discovery, found = bench.discovery(), []
    for _ in range(41):
        bench.discover(discovery)
        found.append(task in bench.ids())
        bench.ms += 30_000
    assert [number for number, there in enumerate(found) if there] == [0, 40]


def test_an_index_that_has_had_no_time_yet_misses_nothing(bench: Bench) -> None:
    [task] = unindexed(bench)
    bench.ms += 29_000
    bench.discover(bench.discovery())
    assert task in bench.ids()
    assert bench.outcomes == [Outcome(waiting=2, unindexed=0)]


def test_a_round_goes_in_steps_and_first_where_nothing_is_known_to_wait(bench: Bench) -> None:
    hidden = unindexed(bench, 4)
    bench.known.update({next(iter(bench.known)): "w0", "another": "w1"})
    bench.ms += 31_000
    discovery, found = bench.discovery(step=2), []
    for _ in range(4):
        bench.discover(discovery)
        found.append([task for task in bench.ids() if task in hidden])
    assert found == [hidden[1:3], [hidden[3]], [hidden[0]], []]
    assert bench.outcomes == [Outcome(waiting=5, unindexed=4)]


def test_a_round_that_conductor_breaks_off_is_made_again(bench: Bench) -> None:
    [task] = unindexed(bench)
    discovery = bench.discovery()
    with mock.patch.object(bench.conductor, "running", fail), pytest.raises(NotNow):
        bench.discover(discovery)
    assert task not in bench.ids()
    bench.discover(discovery)
    assert task in bench.ids()


def test_a_key_that_may_not_read_running_workflows_does_without_reconciliation(bench: Bench) -> None:
    [task] = unindexed(bench)
    discovery = bench.discovery()
    bench.conductor.cannot = {"workflows": 403}
    for _ in range(3):
        bench.discover(discovery)
    assert discovery.searched_to == bench.ms
    assert task not in bench.ids()


def test_one_workflow_that_cannot_be_shown_keeps_a_round_from_nothing_else(bench: Bench) -> None:
    first, sick, last = unindexed(bench, 3)
    bench.conductor.ailing["w2"] = "500"
    bench.ms += 31_000
    discovery = bench.discovery()
    bench.discover(discovery)
    assert [task for task in bench.ids() if task in (first, sick, last)] == [first, last]
    assert bench.outcomes == [Outcome(waiting=3, unindexed=2)]
    bench.conductor.ailing.clear()
    bench.pass_(1)
    assert [task.id for page in bench.index.retry() for task in page] == [sick]


# --- one task that can't be read ---


def test_a_polled_task_that_cannot_be_read_is_found_again_by_its_id_and_the_others_at_once(bench: Bench) -> None:
    bench.scan()
    tasks = bench.schedule(5)
    bench.conductor.ailing = {tasks[1]: "garbage", tasks[3]: "500"}
    bench.scan()
    assert bench.scanner.complete
    assert bench.ids() == [tasks[0], tasks[2], tasks[4]]
    bench.conductor.ailing.clear()
    bench.pass_(1)
    assert sorted(task.id for page in bench.index.retry() for task in page) == [tasks[1], tasks[3]]


def test_a_polled_task_that_has_no_id_is_searched_for(bench: Bench) -> None:
    bench.scan()
    [sick] = bench.schedule()
    bench.conductor.ailing = {sick: "garbage"}
    bench.scan()
    assert len(bench.searches) == 2
    bench.conductor.ailing.clear()
    bench.pass_(1)
    assert [task.id for page in bench.index.retry() for task in page] == [sick]


def test_the_next_leader_searches_from_before_a_task_could_not_be_read(bench: Bench) -> None:
    bench.scan()
    [task] = bench.schedule()
    bench.conductor.poll("somebody")
    bench.conductor.ailing = {task: "hang"}
    discovery = bench.discovery()
    bench.discover(discovery)
    assert discovery.searched_to == bench.ms
    bench.ms += 3000
    bench.pass_(3)
    bench.discover(discovery)
    assert discovery.searched_to == bench.ms - 3000


def test_a_task_that_cannot_be_told_is_searched_for_where_it_was_until_it_can_be_read(bench: Bench) -> None:
    discovery = bench.discovery()
    bench.schedule()
    bench.conductor.poll("somebody")
    bench.discover(discovery)
    bench.ms += 30_000
    [sick] = bench.schedule()
    bench.conductor.poll("somebody")
    bench.conductor.ailing, bench.conductor.nameless = {sick: "garbage"}, {sick}
    start = bench.ms - 1
    for _ in range(10):
        bench.ms += 30_000
        bench.discover(discovery)
    assert set(bench.searches[-8:]) == {start}
    bench.conductor.ailing.clear()
    assert sick not in bench.ids()
    bench.discover(discovery)
    assert sick in bench.ids()
    bench.ms += 30_000
    bench.discover(discovery)
    assert bench.searches[-1] == bench.ms - 30_000 - 15_000


class Searched:
    """An index that fails with 500 for each page that has a sick task on it, and counts what it is asked."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.sick: set[str] = set()
        self.calls = 0
        self.takes = 0.0
        """Seconds for each page."""
        bench.conductor.waiting_since = self.waiting_since  # type: ignore[method-assign]

    def waiting_since(self, start: int, unreadable: list[Unreadable] | None = None) -> Iterator[list[Task]]:
        """The search as it is made at a real server."""
        for page in in_progress(self._page, "/tasks/search-v2", start, unreadable):
            yield [replace(self.bench.task_of(item["taskId"]), found_by="index") for item in page]

    def _page(self, path: str, query: str, sort: str, offset: int, size: int) -> list[Any]:
        self.calls += 1
        self.bench.pass_(self.takes)
        start = int(query.rpartition(">")[2])
        tasks = sorted(self.bench.conductor.tasks.values(), key=lambda task: task.started_at)
        waiting = [task for task in tasks if task.status == "IN_PROGRESS" and task.started_at > start]
        page = waiting[offset : offset + size]
        if any(task.id in self.sick for task in page):
            raise failed(500)
        return [{"taskId": task.id, "startTime": task.started_at, "status": task.status} for task in page]

    def scan(self) -> int:
        """The calls that the search of one scan makes."""
        before, self.calls = self.calls, 0
        self.bench.scan()
        calls, self.calls = self.calls, before
        return calls

    def most_calls(self) -> int:
        """The most calls of one scan, until one is whole: each goes on where the one before broke off."""
        most = self.scan()
        while not self.bench.scanner.complete:
            self.bench.pass_(self.bench.state.search_due_in())
            most = max(most, self.scan())
        return most


def foreign(bench: Bench, count: int) -> list[str]:
    """Tasks that somebody else has polled, one each ten milliseconds."""
    ids = []
    for _ in range(count):
        bench.ms += 10
        [task] = bench.schedule()
        bench.conductor.tasks[task].status = "IN_PROGRESS"
        bench.conductor.tasks[task].started_at = bench.ms
        ids.append(task)
    return ids


@pytest.mark.parametrize("every", [3, 10, 100])
def test_however_many_tasks_fail_an_index_a_scan_makes_few_calls_over_them(bench: Bench, every: int) -> None:
    index = Searched(bench)
    bench.scan()
    bench.state.found_by_index_alone()
    tasks = foreign(bench, 1000)
    index.sick = set(tasks[::every])
    assert index.most_calls() < 100
    assert {task.id for task in bench.found} == set(tasks) - index.sick
    bench.ms += 1000
    assert index.most_calls() < 100
    for _ in range(5):
        [new] = foreign(bench, 1)
        assert index.scan() <= 2
        assert new in bench.ids()
    bench.pass_(60)
    assert index.scan() > 2  # an index may have learned late of a task that started among those
    bench.state.found_by_index_alone()


def test_pages_of_a_slow_server_that_were_made_small_over_one_task_grow_again(bench: Bench) -> None:
    index = Searched(bench)
    index.takes = 1.0
    tasks = foreign(bench, 1000)
    index.sick = {tasks[500]}
    assert index.scan() < 40
    assert bench.scanner.complete


def test_an_index_that_learns_late_of_a_task_shows_it_beside_those_that_fail_it(bench: Bench) -> None:
    index = Searched(bench)
    bench.scan()
    bench.state.found_by_index_alone()
    late, sick, _ = foreign(bench, 3)
    bench.conductor.tasks[late].status = "unknown"
    index.sick = {sick}
    bench.scan()
    bench.ms += 1000
    bench.scan()
    bench.conductor.tasks[late].status = "IN_PROGRESS"
    bench.ids()
    bench.pass_(2)
    bench.scan()
    assert late in bench.ids()


def test_a_discovery_goes_on_where_its_search_broke_off(bench: Bench) -> None:
    index = Searched(bench)
    tasks = foreign(bench, 300)
    index.sick = set(tasks[::3])
    bench.discover(bench.discovery())
    assert set(bench.ids()) >= set(tasks) - index.sick


def test_a_queue_that_gives_only_what_cannot_be_read_is_no_empty_one(bench: Bench) -> None:
    def poll(worker_id: str, domain: Any, unreadable: list[Any], count: int, _: float) -> list[Task]:
        unreadable.append(Unreadable(None, "no task"))
        return []

    bench.conductor.poll = poll  # type: ignore[method-assign,assignment]
    with pytest.raises(OutcomeUnknown):
        bench.scan()
