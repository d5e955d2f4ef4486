"""The answer to a sender that waited for the end of a workflow."""

from __future__ import annotations

import json

from config.target_keys import Respond
from platforms.http import Response, json_response
from store.answers import COMPLETED, NO_WORKFLOW, TOO_LARGE, Answer

_NOSNIFF = (("X-Content-Type-Options", "nosniff"),)


def response_to(event_id: str, answer: Answer | None, respond: Respond) -> Response:
    """The response to a sender. `answer` is None if there was none in time."""
    if answer is None:
        return json_response({"eventId": event_id}, 202)
    if answer.outcome in NO_WORKFLOW.values():
        return json_response({"error": answer.outcome, "eventId": event_id}, 502)
    if answer.outcome == COMPLETED:
        return _with_body(answer.body or "null", respond)
    fields = {"eventId": event_id, "workflowId": answer.workflow_id}
    if answer.outcome == TOO_LARGE:
        message = "the workflow's answer is too large"
        return json_response({"error": "answer_too_large", "message": message, **fields}, 502)
    return json_response({"error": "workflow_failed", **fields, "status": answer.outcome}, 502)


def _with_body(body: str, respond: Respond) -> Response:
    if not body.startswith('"'):  # parsing it would take many times the memory, for nothing
        return Response(respond.status, body.encode(), respond.content_type or "application/json", _NOSNIFF)
    text = json.loads(body).encode("utf-8", "replace")
    return Response(respond.status, text, respond.content_type or "text/plain; charset=utf-8", _NOSNIFF)
