"""What a call to Conductor may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one call may take."""

    timeout: float
    """Seconds for the answer, once connected."""
    connect_timeout: float = 3.0
    """Seconds, if `timeout` isn't less."""
    largest_answer: int = 64 * 1024**2
    """Bytes of an answer that are read at most. Conductor returns up to 10 MB of payload inline."""

    @property
    def to_connect(self) -> float:
        """Seconds for the connection."""
        return min(self.connect_timeout, self.timeout)
