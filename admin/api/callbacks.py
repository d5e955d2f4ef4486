"""URLs that complete one task each, in the API."""

from __future__ import annotations

from pydantic import Field

from admin.api.base import ApiObject, Time


class ToCallBack(ApiObject):
    """Which task a URL is to complete."""

    webhook: str = Field(description="a webhook with `callback`")
    workflow_id: str = Field(description="as in ${workflow.workflowId}")
    task: str = Field(description="the task's reference name")
    iteration: int | None = Field(None, ge=1, description="of a task in a loop, from 1; any will do without it")
    expires: str | None = Field(None, description="how long it can be used, such as 2h; by default as defined")


class Callback(ApiObject):
    """A URL that completes one task, once."""

    url: str
    expires_at: Time
