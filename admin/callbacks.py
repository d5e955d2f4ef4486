"""URLs that complete one task each, made for a person or for a workflow."""

from __future__ import annotations

from pydantic import Field

from admin.api.base import ApiObject, Time
from admin.bridge import Bridge
from admin.errors import CantDo
from admin.urls import base_url_of
from config.callbacks import check_expires
from config.quantities import Duration
from relay.callbacks.tokens import Address, NoSuchTask, make_token
from store.one_target import names_of


class ToCallBack(ApiObject):
    """Which task a URL is to complete."""

    webhook: str = Field(description="a webhook with `callback`")
    workflow_id: str = Field(description="as in ${workflow.workflowId}")
    task: str = Field(description="the task's reference name")
    iteration: int | None = Field(None, ge=1, description="of a task in a loop, from 1; any will do without it")
    expires: Duration | None = Field(None, description="how long it can be used, such as 2h; by default as defined")


class Callback(ApiObject):
    """A URL that completes one task, once."""

    url: str
    expires_at: Time


class CantMakeUrl(CantDo):
    """No such URL can be made; the text says why, and what to do."""

    status = 400


def make_callback(bridge: Bridge, asked: ToCallBack) -> Callback:
    """The URL that completes this task. Nobody asks Conductor whether there is such a task: it may be to come.

    Raises NotFound, CantMakeUrl, StoreUnavailable.
    """
    webhook, task = bridge.webhook(asked.webhook), asked.task
    callback = webhook.callback
    if callback is None:
        raise CantMakeUrl(f"{webhook.name} has no `callback`; add callback: {{secret: ${{NAME}}}} to its definition")
    try:
        address = Address.of(asked.workflow_id, task, asked.iteration)
        seconds = callback.expires if asked.expires is None else check_expires(asked.expires)
    except NoSuchTask as error:
        raise CantMakeUrl(str(error)) from None
    except ValueError as error:
        raise CantMakeUrl(f"how long it can be used is {error}") from None
    if callback.tasks and not set(callback.tasks).intersection(names_of(address.reference_name)):
        raise CantMakeUrl(f"{webhook.name} completes only {', '.join(callback.tasks)}; add {task} to callback.tasks")
    base = base_url_of(webhook, bridge.settings)
    if callback.secret is None:
        raise CantMakeUrl(
            f"{webhook.name} says `by: id`, so the workflow makes its URLs itself: "
            f"{base}/${{workflow.workflowId}}/{task}"
        )
    now = bridge.store.now()
    expires_at = int(now / 1000 + seconds)
    token = make_token(webhook.name, callback.secret[0].get_secret_value(), address, expires_at, now)
    return Callback(url=f"{base}/{token}", expires_at=expires_at * 1000)
