"""Which task may take an event, as far as that is a matter of time: for the decider, and for whoever explains it.

Pure. All times are Unix milliseconds by one clock; `skew` is what the clocks of Conductor and the bridge may differ by.
"""

from __future__ import annotations


def was_waiting(scheduled_at: float, received_at: float) -> bool:
    """Whether a task that was scheduled then was waiting when the event arrived: every such task takes it."""
    return scheduled_at <= received_at


def came_in_time(scheduled_at: float, hold_until: float) -> bool:
    """Whether a task came to wait before the event's hold ended."""
    return scheduled_at <= hold_until


def was_running(root_started_at: float, received_at: float, skew: float) -> bool:
    """Whether a workflow, whose outermost one started then, was running when the event arrived."""
    return root_started_at <= received_at + skew


def surely_was_running(scheduled_at: float, received_at: float, skew: float) -> bool:
    """Whether that shows by when its task was scheduled, without looking the workflow up."""
    return scheduled_at <= received_at - skew


def is_started_by(event_id: str, root_correlation_id: str | None) -> bool:
    """Whether the event itself started the outermost workflow: then its tasks don't take it."""
    return root_correlation_id is not None and root_correlation_id.partition("#")[0] == event_id
