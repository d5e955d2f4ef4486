"""What happened to an event is told in order, however it went."""

from __future__ import annotations

import json
from dataclasses import replace

from flask.testing import FlaskClient

from admin.events.replay import Family
from admin.explain.story import story_of
from admin.wording.statuses import EventTargets
from store.one_target import OneTarget
from store.records import Decision, Event, NewEvent, Target, Task, Term, iso, new_event_id
from store.sql.joins import StoredReceiver
from store.story import Attempt, Note, Origins
from tests.admin.conftest import Cli
from tests.admin.events.test_families import replayed
from tests.support.deciding import adopt, decide
from tests.support.sample import Sample
from worker.decision.targets import completion

NOW = 1_700_000_000_000
EVENT = Event(
    seq=1,
    id="e1",
    webhook="hook",
    received_at=NOW,
    delivery_id=None,
    payload="{}",
    headers={},
    query={},
    status="delivered",
    hold_until=NOW + 60_000,
    decided_at=NOW + 400,
    hold="no",
    settled_at=NOW + 9000,
    replay_of=None,
)
FROM = Origins("203.0.113.9", "the signature in X-Hub-Signature-256", NOW + 100, "worker-1")
COMPLETION = Target(
    id=1,
    event_id="e1",
    kind="complete",
    workflow="deploy",
    workflow_id="wf-1",
    task_id="t1",
    reference_name="wait",
    version=None,
    correlation_id=None,
    state="done",
    attempts=1,
    error=None,
    claimed_by="worker-1",
    claimed_at=NOW + 410,
    due_at=NOW + 400,
    created_at=NOW + 400,
    settled_at=NOW + 700,
)
START = Target(
    id=2,
    event_id="e1",
    kind="start",
    workflow="on_push",
    workflow_id=None,
    task_id=None,
    reference_name=None,
    version=None,
    correlation_id="e1",
    state="pending",
    attempts=1,
    error=None,
    claimed_by="worker-1",
    claimed_at=NOW + 410,
    due_at=NOW + 400,
    created_at=NOW + 400,
    settled_at=None,
)


TASK = Task(
    id="t1",
    workflow_id="wf-1",
    workflow="deploy",
    reference_name="wait",
    matches={},
    scheduled_at=NOW - 1000,
    adopted_at=NOW + 39_000,
    found_by="index",
)


def told(
    event: Event,
    *targets: Target,
    origins: Origins | None = FROM,
    family: Family | None = None,
    task: Task = TASK,
) -> list[str]:
    """Each as ``+milliseconds sentence``."""
    tasks = {task.id: task}
    story = story_of(event, EventTargets(targets), origins, family, NOW + 10_000, (), tasks)
    assert [one.at for one in story] == sorted(one.at for one in story)
    return [f"+{one.at - NOW} {one.what}" for one in story]


def test_a_delivered_event_has_a_short_story() -> None:
    made = replace(START, state="done", workflow_id="wf-2", settled_at=NOW + 800)
    assert told(EVENT, COMPLETION, made) == [
        "+0 Received from 203.0.113.9.",
        "+0 Verified by the signature in X-Hub-Signature-256.",
        "+400 Decided 400 ms after it arrived by worker worker-1, after the scan for waiting tasks that began at "
        "2023-11-14T22:13:20.100Z: it completes the task wait of deploy (wf-1), starts on_push.",
        "+700 Completed task wait of deploy (wf-1).",
        "+800 Started on_push (wf-2).",
    ]
    story = story_of(EVENT, EventTargets([COMPLETION]), FROM, None, NOW)
    assert [one.workflow_id for one in story] == [None, None, None, "wf-1"]


def test_attempts_are_told_with_their_times_and_errors() -> None:
    failures = (
        Attempt(2, NOW + 1000, NOW + 3500, "503 Service Unavailable"),
        Attempt(3, NOW + 5000, NOW + 5001, "x."),
    )
    refused = replace(
        START, state="failed", attempts=4, error="No such workflow", settled_at=NOW + 9000
    )
    last = Attempt(4, NOW + 8900, NOW + 9000, "No such workflow")
    assert told(EVENT, replace(refused, failures=(*failures, last)))[3:] == [
        "+3500 Attempt 2 for the start of on_push failed after 2.5 s: 503 Service Unavailable.",
        "+5001 Attempt 3 for the start of on_push failed after 1 ms: x.",
        "+9000 Attempt 4 for the start of on_push failed after 100 ms: No such workflow.",
        "+9000 Starting on_push failed permanently: No such workflow. Register the workflow in Conductor, or correct "
        "`starts`; then replay.",
    ]
    late = replace(
        COMPLETION, state="cancelled", failures=(Attempt(1, NOW + 410, NOW + 700, "it had ended"),)
    )
    assert told(EVENT, late)[3:] == [
        "+700 Attempt 1 for the task wait of deploy (wf-1) failed after 290 ms: it had ended.",
        "+700 Task wait of deploy (wf-1) wasn't completed: it had already ended: cancelled, timed out, or completed by "
        "someone else.",
    ]
    again = replace(START, attempts=3, due_at=NOW + 20_000, failures=failures)
    assert told(EVENT, again)[-1] == "+20000 Next: attempt 4 for the start of on_push."
    calling = replace(START, state="claimed", attempts=4, claimed_at=NOW + 9500, failures=failures)
    assert told(EVENT, calling)[-1] == "+9500 Attempt 4 for the start of on_push is under way."
    recovered = replace(
        START,
        state="done",
        attempts=4,
        workflow_id="wf-2",
        settled_at=NOW + 9000,
        failures=failures,
    )
    assert told(EVENT, recovered)[-1] == "+9000 Started on_push (wf-2)."


def test_a_held_event_tells_how_long_and_who_came() -> None:
    held = replace(EVENT, status="pending", hold="held", settled_at=None)
    assert told(held)[2].endswith(
        ": no waiting task matched, so it was held until 2023-11-14T22:14:20.000Z at the latest."
    )
    taken = replace(COMPLETION, created_at=NOW + 5000, settled_at=NOW + 5200)
    assert told(EVENT, taken)[3:] == [
        "+5000 Decided again, because a target appeared: it completes the task wait of deploy (wf-1).",
        "+5200 Completed task wait of deploy (wf-1).",
    ]
    assert told(replace(EVENT, status="expired"))[-1] == "+9000 Its hold ended: no task took it."
    ignored = replace(EVENT, status="ignored", settled_at=NOW + 400)
    assert told(ignored)[-1].endswith(": it has no target.")


def test_a_late_join_tells_when_its_task_was_found_and_why() -> None:
    joined = replace(COMPLETION, created_at=NOW + 40_000, settled_at=NOW + 40_200)
    late = (
        "+40000 Joined late, to complete the task wait of deploy (wf-1): its task was found at "
        "2023-11-14T22:13:59.000Z, scheduled at 2023-11-14T22:13:19.000Z, because "
    )
    assert told(EVENT, joined)[3:] == [
        f"{late}it had left the queue unseen, and the index showed it only then.",
        "+40200 Completed task wait of deploy (wf-1).",
    ]
    polled = replace(TASK, found_by="queue")
    assert told(EVENT, joined, task=polled)[3] == (
        f"{late}no poll of the queue had returned it before."
    )
    known = replace(TASK, adopted_at=NOW - 900)
    assert "because it couldn't take the event before" in told(EVENT, joined, task=known)[3]
    rerun = replace(TASK, wait=2)
    assert "Decided again" in told(EVENT, joined, task=rerun)[3], "its times are another wait's"


def test_replays_and_what_people_noted_are_told() -> None:
    notes = (
        Note(NOW + 20_000, "ada", "acknowledged", "known"),
        Note(NOW + 30_000, "bob", "reopened", ""),
    )
    only = OneTarget("start", "on_push", entry=2)
    replay = replace(
        EVENT, id="r1", replay_of="e1", origin="e1", received_at=NOW + 40_000, only=only
    )
    failed = replace(EVENT, status="failed", resolved_by="r1")
    assert told(failed, origins=replace(FROM, notes=notes), family=Family("e1", (replay,)))[
        -3:
    ] == [
        "+20000 Acknowledged by ada: known",
        "+30000 Reopened by bob.",
        "+40000 Replayed for one target only, the start of on_push (number 2 of it), as event r1, which is delivered. "
        "It resolved this event.",
    ]
    assert told(replay, origins=None)[-1] == (
        "+40000 A replay of event e1, for one target only: the start of on_push (number 2 of it)."
    )


def test_an_event_of_an_older_version_tells_what_is_known() -> None:
    assert told(EVENT, origins=Origins(None, None, None, None))[:2] == [
        "+0 Received.",
        "+400 Decided 400 ms after it arrived: no waiting task matched, so it was held until "
        "2023-11-14T22:14:20.000Z at the latest.",
    ]
    undecided = replace(EVENT, decided_at=None, status="pending")
    assert told(undecided, origins=Origins("10.0.0.1", None, None, None)) == [
        "+0 Received from 10.0.0.1.",
        "+0 Verified by nothing but the challenge that the webhook's URL once answered, or `verifier: none`.",
    ]


def test_a_story_is_bounded() -> None:
    failures = tuple(Attempt(number, NOW, NOW + number, "x") for number in range(1, 11))
    many = [replace(START, id=number, attempts=11, failures=failures) for number in range(100)]
    story = story_of(EVENT, EventTargets(many, {"pending": 9900}), FROM, None, NOW)
    assert len(story) < 250
    texts = [one.what for one in story]
    assert "Only the calls for the first 20 of its 10000 targets are listed here." in texts
    assert any(
        text.endswith("starts on_push, starts on_push and has 9995 more targets.") for text in texts
    )


def test_page_command_line_and_api_tell_the_story(
    cli: Cli, client: FlaskClient, sample: Sample
) -> None:
    refused = sample.events["refused"]
    replay = replayed(sample, refused, "delivered")
    for command in ("show", "explain"):
        text = cli("events", command, refused).stdout
        assert "story:\n" in text
        assert "Starting on_push failed permanently" in text
        assert f"Replayed, as event {replay}, which is delivered. It resolved this event." in text
    story = json.loads(cli("events", "show", refused, "--json").stdout)["story"]
    assert client.get(f"/api/events/{refused}").json["story"] == story  # type: ignore[index]
    assert [one["wentWrong"] for one in story] == [False, False, True, True, False]
    assert story[-1]["otherEventId"] == replay
    page = client.get(f"/events/{refused}").text
    assert '<h2 id="story">Story</h2>' in page
    assert page.count('<li class="wrong">') == 2
    assert "In Conductor</a>" in client.get(f"/events/{sample.events['delivered']}").text


def test_command_line_and_page_tell_of_a_join_that_came_late(
    cli: Cli, client: FlaskClient, sample: Sample
) -> None:
    """Also why none came of another one: its workflow has been a receiver only since the hold."""
    store, now = sample.store, sample.store.now()
    id_, term = new_event_id(), Term("sample")
    arrived = now - 300_000
    push = '{"ref": "refs/heads/lost"}'
    store.deliveries.append(
        [NewEvent(id_, "github-deploys", arrived, push, {}, {}, arrived + 60_000)]
    )
    decide(store, term, [Decision(id_, "expired", "no")], arrived + 60_000)
    task = Task("lost", "wf-lost", "deploy", "wait", {"$.ref": "refs/heads/lost"}, arrived - 5000)
    other = replace(task, id="later", workflow_id="wf-later", workflow="release")
    adopt(store, term, [task, other], now)
    added = StoredReceiver("github-deploys", "release", (1, 2), now - 1000)
    store.joins.change_receivers(term, [added], [])
    target = completion(task, "waited")
    decide(store, term, [Decision(id_, "pending", "no", (target,))], now)
    said = f"Joined late, to complete the task wait of deploy (wf-lost): its task was found at {iso(now)}"
    since = f"github-deploys has received it, or this version of it, since {iso(now - 1000)}"
    text = cli("events", "explain", id_, "--all").stdout
    assert said in text
    assert since in text
    assert said in client.get(f"/events/{id_}").text
