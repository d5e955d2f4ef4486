"""Messages that a workflow ended without reading: they are delivered again, first in their lane.

A push is answered 200 as long as the workflow runs, and what it hasn't read when it ends is gone with it. So each
workflow that was given messages is looked at once more after its end. Its tasks show what they have read. A queue is
read in order, so whatever was pushed before that has been read, too.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter

import structlog

from store.sql.keys import Conversation
from worker.conductor.errors import ConductorError, Garbled, NotThere, Unreachable, is_denied
from worker.context import Context

log = structlog.get_logger()

EVERY = 2.0
"""Seconds between two looks for workflows that have ended."""
_MOST_IN_VAIN = 50
"""Workflows that one look reads although they turn out to run, or can't be read."""


class UnreadMessages:
    """Thread-safe, except `look`."""

    def __init__(self, context: Context):
        self._store = context.store
        self._conductor = context.conductor
        self._after = ""
        """The workflow that was read last."""

    def look(self) -> None:
        """Settles what has ended. Raises Unreachable, StoreUnavailable."""
        suspects = []
        for workflow, found in groupby(
            sorted(self._store.conversations.open(), key=attrgetter("workflow")), attrgetter("workflow")
        ):
            try:
                running = frozenset(self._conductor.running(workflow))
            except Unreachable:
                raise
            except ConductorError:  # a server without such lists; each is read then
                running = frozenset()
            suspects += [one for one in found if one.workflow_id not in running]
        in_turn = sorted(suspects, key=lambda one: (one.workflow_id <= self._after, one.workflow_id))
        in_vain = 0
        for conversation in in_turn:
            self._after = conversation.workflow_id
            try:
                in_vain += not self._settle(conversation)
            except Unreachable:
                raise
            except ConductorError as error:
                log.warning("a workflow's messages can't be looked up", workflow_id=self._after, error=str(error))
                in_vain += 1
            if in_vain == _MOST_IN_VAIN:
                break

    def settle(self, workflow_id: str) -> None:
        """If the workflow has ended, puts what it left unread back into the lane. Raises ConductorError."""
        if (conversation := self._store.conversations.of(workflow_id)) is not None:
            self._settle(conversation)

    def _settle(self, conversation: Conversation) -> bool:
        """Whether the workflow has ended."""
        workflow_id = conversation.workflow_id
        given = self._store.conversations.given(conversation)
        try:
            unread = self._conductor.messages.unread(workflow_id, [one.event_id for one in given])
        except ConductorError as error:
            # A proxy's page in Conductor's place says nothing about the workflow.
            if isinstance(error, NotThere) or not (isinstance(error, Garbled) or is_denied(error)):
                raise
            unread = []  # nobody can tell
        if unread is None:
            return False
        lost = [one for one in given if one.event_id in unread]
        reason = f"workflow {workflow_id} ended without reading it"
        self._store.conversations.close(conversation, given, lost, reason, self._store.now())
        for one in lost:
            log.warning("a message wasn't read; delivering it again", event_id=one.event_id, workflow_id=workflow_id)
        return True
