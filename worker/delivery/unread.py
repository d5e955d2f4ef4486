"""Messages that a workflow ended without reading: they are delivered again, first in their lane.

A push is answered 200 as long as the workflow runs, and what it hasn't read when it ends is gone
with it. So each workflow that was given messages is looked at once more after its end. Its tasks
show what they have read. A queue is read in order, so whatever was pushed before that has been
read, too.
"""

from __future__ import annotations

import structlog

from store.sql.keys import Conversation
from worker.conductor.errors import (
    ConductorError,
    Garbled,
    NotFound,
    NotThere,
    Unreachable,
    is_denied,
)
from worker.context import Context

log = structlog.get_logger()

EVERY = 2.0
"""Seconds between two looks for workflows that have ended."""
_MOST_IN_VAIN = 50
"""Workflows that one look reads although they turn out to run, or can't be read."""
_GONE_AFTER = 600.0
"""Seconds for which a workflow must be unknown to a server that knows none of the others: it may be
another server."""


class UnreadMessages:
    """Thread-safe, except `look`."""

    def __init__(self, context: Context):
        self._store = context.store
        self._conductor = context.conductor
        self._clock = context.clock
        self._after = ""
        """The workflow that was read last."""
        self._unknown: dict[str, float] = {}
        """Since when Conductor hasn't known workflows."""

    def look(self) -> None:
        """Settles what has ended. Raises Unreachable, StoreUnavailable."""
        suspects, is_right = self._suspects()
        in_turn = sorted(
            suspects, key=lambda one: (one.workflow_id <= self._after, one.workflow_id)
        )
        in_vain = 0
        for conversation in in_turn:
            self._after = conversation.workflow_id
            try:
                in_vain += not self._settle(conversation, is_right)
            except Unreachable:
                raise
            except ConductorError as error:
                log.warning(
                    "a workflow's messages can't be looked up",
                    workflow_id=self._after,
                    error=str(error),
                )
                in_vain += 1
            if in_vain == _MOST_IN_VAIN:
                break

    def _suspects(self) -> tuple[list[Conversation], bool]:
        """The conversations whose workflows no list shows to run, and whether any list shows one
        that does, so that the server is the right one."""
        conversations = self._store.conversations.open()
        running = {
            workflow: self._running(workflow)
            for workflow in sorted({one.workflow for one in conversations})
        }
        suspects = [one for one in conversations if one.workflow_id not in running[one.workflow]]
        return suspects, len(suspects) < len(conversations)

    def _running(self, workflow: str) -> frozenset[str]:
        """The ids of the running workflows; none from a server without such lists."""
        try:
            return frozenset(self._conductor.running(workflow))
        except Unreachable:
            raise
        except ConductorError:
            return frozenset()

    def settle(self, workflow_id: str) -> None:
        """If the workflow has ended, puts what it left unread back into the lane. Raises
        ConductorError."""
        conversation = self._store.conversations.of(workflow_id)
        if conversation is not None:
            self._settle(conversation)

    def _settle(self, conversation: Conversation, is_right: bool = False) -> bool:
        """Whether the workflow has ended. `is_right`: whether the server knows others."""
        workflow_id = conversation.workflow_id
        given = self._store.conversations.given(conversation)
        try:
            unread = self._conductor.messages.unread(workflow_id, [one.event_id for one in given])
        except NotFound:
            since = self._unknown.setdefault(workflow_id, self._clock.monotonic())
            if not is_right and self._clock.monotonic() - since < _GONE_AFTER:
                return False
            unread = []  # nobody can tell
        except ConductorError as error:
            # A proxy's page in Conductor's place says nothing about the workflow.
            if isinstance(error, NotThere) or not (isinstance(error, Garbled) or is_denied(error)):
                raise
            unread = []  # nobody can tell
        self._unknown.pop(workflow_id, None)
        if unread is None:
            return False
        lost = [one for one in given if one.event_id in unread]
        reason = f"workflow {workflow_id} ended without reading it"
        self._store.conversations.close(conversation, given, lost, reason, self._store.now())
        for one in lost:
            log.warning(
                "a message wasn't read; delivering it again",
                event_id=one.event_id,
                workflow_id=workflow_id,
            )
        return True
