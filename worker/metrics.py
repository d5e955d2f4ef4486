"""The worker's metrics for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from store.records import Result, Target

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

EVENTS = Gauge("bridge_events", "Events in the store", ["status"])
UNRESOLVED = Gauge(
    "bridge_unresolved_events",
    "Failed events that are neither acknowledged nor resolved; at most 10,000 are counted",
)
OLDEST_PENDING = Gauge(
    "bridge_oldest_pending_event_seconds",
    "Age of the oldest event that waits for a decision or a call, 0 without one",
)
EXPIRED = Gauge(
    "bridge_expired_events",
    "Events that expired within the last hour, of the newest 1,000 that did",
    ["webhook"],
)
LATE_JOINS = Counter(
    "bridge_late_joins_total",
    "Events that took a task more than 30 s after both were there, by where it was found that late",
    ["cause"],
)
PAUSED_SECONDS = Gauge(
    "bridge_paused_seconds",
    "How long a webhook has been paused while events wait for it to be resumed",
    ["webhook"],
)
WAITING_TASKS = Gauge("bridge_waiting_tasks", "Waiting WAIT_FOR_WEBHOOK tasks")
SET_ASIDE = Gauge("bridge_set_aside", "Items that failed alone and are tried again later", ["kind"])
STUCK = Gauge(
    "bridge_stuck_seconds",
    "How long nothing has been decided or called although something is overdue; otherwise 0",
)
DECIDING = Gauge("bridge_worker_deciding", "1 in the worker that decides, 0 in the others")
TARGET_CALLS = Counter("bridge_target_calls_total", "Calls for targets", ["kind", "outcome"])
TARGET_CALL_SECONDS = Histogram(
    "bridge_target_call_seconds", "Time of a target's call", ["kind"], buckets=_SECONDS
)
EFFECT_SECONDS = Histogram(
    "bridge_effect_seconds",
    "From an event's arrival to its effect in Conductor",
    ["kind"],
    buckets=_SECONDS,
)
CONDUCTOR_UP = Gauge("bridge_conductor_up", "1 while Conductor answers, 0 while it doesn't")
ANOTHER_SERVER = Gauge(
    "bridge_another_server",
    "1 while Conductor knows none of the tasks that waited before, as another server does",
)
SWEEPS = Counter("bridge_sweeps_total", "Scans for waiting tasks", ["outcome"])
SWEEP_SECONDS = Histogram(
    "bridge_sweep_seconds", "Duration of a scan for waiting tasks", buckets=_SECONDS
)
DISCOVERY_WAY = Gauge(
    "bridge_discovery_way",
    "1 for the way of finding tasks that no queue hands out, 0 for the others",
    ["way"],
)
INDEX_WAITS = Gauge(
    "bridge_webhooks_waiting_for_index",
    "Webhooks whose events wait because Conductor's index can't be searched",
)
WORKFLOW_PROBLEMS = Gauge(
    "bridge_workflow_problems",
    "Receivers, starts and messages that Conductor's workflow definitions don't fit",
)
ANSWERS = Counter(
    "bridge_answers_total",
    "Answers recorded for senders that wait for a workflow's end",
    ["outcome"],
)
ANSWER_SECONDS = Histogram(
    "bridge_answer_seconds",
    "From a workflow's end, by Conductor's clock, to the answer in the store",
    buckets=(0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
ANSWERS_WATCHED = Gauge(
    "bridge_answers_watched",
    "Events whose senders wait for the end of a workflow, watched by this worker",
)
DEFINITIONS_OK = Gauge("bridge_definitions_ok", "0 after a reload that found errors", ["process"])


def leadership_over() -> None:
    """This worker no longer decides: only the leader reports these values."""
    for gauge in (
        DECIDING,
        ANOTHER_SERVER,
        INDEX_WAITS,
        WORKFLOW_PROBLEMS,
        OLDEST_PENDING,
        UNRESOLVED,
        WAITING_TASKS,
    ):
        gauge.set(0)
    for labelled in (EVENTS, EXPIRED, PAUSED_SECONDS, SET_ASIDE):
        labelled.clear()


def discovery_way(way: str) -> None:
    """Sets which way is in force."""
    for name in ("search", "workflows"):
        DISCOVERY_WAY.labels(name).set(name == way)


def target_call(target: Target, result: Result, seconds: float, since_arrival: float) -> None:
    """Counts a call, and observes the time from arrival to effect if it had one. Both times are in
    seconds."""
    outcome = "retry" if result.state == "pending" else result.state
    TARGET_CALLS.labels(target.kind, outcome).inc()
    TARGET_CALL_SECONDS.labels(target.kind).observe(seconds)
    if result.state == "done":
        EFFECT_SECONDS.labels(target.kind).observe(max(0.0, since_arrival))


_OUTCOMES = frozenset(
    (
        "COMPLETED",
        "FAILED",
        "TIMED_OUT",
        "TERMINATED",
        "gone",
        "start_failed",
        "expired",
        "ignored",
        "too_large",
    )
)
"""Outcomes of answers that are counted by name; a server may have others."""


def answered(outcome: str, seconds: float | None) -> None:
    """Counts an answer, and observes the seconds since the workflow's end if they are known."""
    ANSWERS.labels(outcome.lower() if outcome in _OUTCOMES else "other").inc()
    if seconds is not None:
        ANSWER_SECONDS.observe(max(0.0, seconds))
