"""Which task may take an event, as far as times decide: for the decider, and for explanations.

Pure. All times are Unix milliseconds by one clock; `skew` is how much Conductor's and the bridge's clocks may differ.
"""

from __future__ import annotations


def was_waiting(scheduled_at: float, received_at: float) -> bool:
    """Whether a task scheduled then was waiting when the event arrived: every such task takes it."""
    return scheduled_at <= received_at


def came_in_time(scheduled_at: float, hold_until: float) -> bool:
    """Whether a task began to wait before the event's hold ended."""
    return scheduled_at <= hold_until


def was_running(root_started_at: float, received_at: float, skew: float) -> bool:
    """Whether a workflow whose outermost parent started then was running when the event arrived."""
    return root_started_at <= received_at + skew


def surely_was_running(scheduled_at: float, received_at: float, skew: float) -> bool:
    """Whether the task's schedule time already answers that, without looking up the workflow."""
    return scheduled_at <= received_at - skew


def is_started_by(event_id: str, root_correlation_id: str | None) -> bool:
    """Whether the event itself started the outermost workflow: then its tasks don't take it."""
    return root_correlation_id is not None and root_correlation_id.partition("#")[0] == event_id
