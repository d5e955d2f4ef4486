"""The leader's intervals and bounds that aren't settings, and the threads for look-ups in Conductor."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from worker.discovery.barrier import LOOK_GAP


@dataclass(frozen=True)
class Tuning:
    """Times are in seconds. Tests set them."""

    scan_gap: float = 0.02
    """Minimum between two scans: under load it is better to decide several events after one scan."""
    busy_scan_gap: float = 0.1
    """The same while enough targets are in flight: deciding sooner wouldn't call sooner."""
    search_gap: float = LOOK_GAP
    once_key_gap: float = 0.01
    """Minimum between two questions to Conductor about once keys."""
    webhooks_gap: float = 600.0
    """Between two checks of Conductor's own webhooks."""
    inbox: int = 8
    """Messages after which a thread that finds tasks faster than the loop stores them must wait; 0 for no bound."""
    index_threads: int | None = None
    """Tasks and workflows, handed out by no queue, that are read at a time; by default as many as BRIDGE_CALLS."""
    workflow_threads: int = 32
    """Workflows that are looked up at a time for decisions; some may hang for BRIDGE_CALL_TIMEOUT."""


class Pools:
    """Threads for look-ups, which outlive a term since a call may hang. Without threads, look-ups run one after the
    other."""

    def __init__(self, index: int, workflows: int):
        """The numbers of threads."""
        self.index = _pool(index, "index")
        self.workflows = _pool(workflows, "workflow")
        """Separate threads: whatever hangs elsewhere, decisions have room for the look-ups they depend on."""

    def shut_down(self) -> None:
        """Starts no more look-ups, and waits for none."""
        for pool in filter(None, (self.index, self.workflows)):
            pool.shutdown(wait=False, cancel_futures=True)


def _pool(threads: int, name: str) -> ThreadPoolExecutor | None:
    return ThreadPoolExecutor(threads, thread_name_prefix=name) if threads else None
