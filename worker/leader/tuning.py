"""Intervals and bounds of the leader that no setting changes, and the threads that look things up in Conductor."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from worker.discovery.state import SEARCH_GAP


@dataclass(frozen=True)
class Tuning:
    """Times are in seconds. Tests set them."""

    scan_gap: float = 0.02
    """Between two scans at least: under load it is better to decide several events after one scan."""
    busy_scan_gap: float = 0.1
    """The same while enough targets are in flight: what is decided sooner isn't called sooner."""
    search_gap: float = SEARCH_GAP
    predecessor_grace: float = 2.0
    """After the end of a leader that didn't resign, in which a poll that it had sent may still take effect."""
    once_key_gap: float = 0.01
    """Between two questions to Conductor about once keys at least."""
    webhooks_gap: float = 600.0
    """Between two looks at the webhooks that Conductor has of its own."""
    inbox: int = 8
    """Messages after which a thread that finds faster than the loop stores has to wait; 0 for no bound."""
    index_threads: int | None = None
    """Tasks and workflows that are read at a time as no queue hands them out; by default as many as BRIDGE_CALLS."""
    workflow_threads: int = 32
    """Workflows that are looked up at a time for decisions, of which some may hang for BRIDGE_CALL_TIMEOUT."""


class Pools:
    """Threads for look-ups, which outlive a term: a call may hang. Without threads, one look-up follows the other."""

    def __init__(self, index: int, workflows: int):
        """The numbers of threads."""
        self.index = _pool(index, "index")
        self.workflows = _pool(workflows, "workflow")
        """Of their own: whatever hangs elsewhere, decisions have room for what they depend on."""

    def shut_down(self) -> None:
        """Begins no look-up any more, and waits for none."""
        for pool in filter(None, (self.index, self.workflows)):
            pool.shutdown(wait=False, cancel_futures=True)


def _pool(threads: int, name: str) -> ThreadPoolExecutor | None:
    return ThreadPoolExecutor(threads, thread_name_prefix=name) if threads else None
