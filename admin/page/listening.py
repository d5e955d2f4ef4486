"""Gives admins the deliveries of webhooks with `listen`, as they came: for `webhook-bridge
listen`."""

from __future__ import annotations

import base64
from typing import Any

import structlog
from flask import Blueprint, abort, g

from admin.api.objects import RawDeliveries, RawDelivery
from admin.api.openapi import answers
from admin.api.queries import OfDeliveries
from admin.bridge import Bridge
from admin.errors import NotFound
from admin.page.context import check_admin
from admin.page.pages import bridge
from config.quantities import parse_duration
from store.delivery_records import RawDelivery as Kept

_MOST = 50
_ALL = 100_000
"""More than any webhook's kept deliveries."""
_LEAST = 8
"""Characters of an event's id that may stand for it."""

blueprint = Blueprint("listening", __name__, url_prefix="/api")


@blueprint.get("/webhooks/<name>/deliveries")
@answers(RawDeliveries, 404, 409, query=OfDeliveries)
def deliveries(name: str, query: OfDeliveries) -> Any:
    """Deliveries of a webhook with `listen`, as they came; only with BRIDGE_ADMIN_TOKEN

    Those after `after`, or from `from` on; with neither only where the next one will be.
    """
    check_admin("listen to deliveries")
    here = bridge()
    if not here.webhook(name).listen:
        abort(409, f"webhook {name} can't be listened to: add listen: true to its definition")
    after, start = query.after, query.start
    pruned = here.store.raw_deliveries.last_pruned(name)
    if after is not None:
        last = after
        if last > here.store.raw_deliveries.greatest_number(name):
            # The store is another one, or an older copy of it was restored: what comes now has
            # lower numbers.
            return RawDeliveries(webhook=name, next=0, missed=True, deliveries=[])
        missed = pruned is not None and pruned.number > last
    else:
        structlog.get_logger().info(
            "somebody listens to deliveries", who=g.who, webhook=name, start=start
        )
        last, since = _before(here, name, start, pruned)
        missed = pruned is not None and since is not None and pruned.at >= since
    # Without a place to begin at, `last` is the newest.
    kept, last = here.store.raw_deliveries.next_accepted(name, last, _MOST)
    return RawDeliveries(webhook=name, next=last, missed=missed, deliveries=list(map(_shown, kept)))


def _shown(kept: Kept) -> RawDelivery:
    body = base64.b64encode(kept.body).decode()
    return RawDelivery.of(kept, id=kept.number, received_at=kept.at, body=body)


def _before(
    here: Bridge, name: str, start: str | None, pruned: Kept | None
) -> tuple[int, int | None]:
    """The id after which to begin: the newest, one event's, or that of a duration ago; and that
    time."""
    listed = here.store.raw_deliveries.listed(name, 0, _ALL)
    newest = 0
    if listed:
        newest = listed[-1].number
    elif pruned is not None:
        newest = pruned.number
    if start is None:
        return newest, None
    if start == "last":
        return max(0, newest - 1), None
    since = None
    found = next((one for one in listed if _is_meant(start, one.id)), None)
    if found is None:
        try:
            since = here.store.now() - int(parse_duration(start) * 1000)
        except ValueError:
            raise NotFound(f"no kept delivery of {name} left an event {start}") from None
        found = next((one for one in listed if one.at >= since), None)
    return newest if found is None else found.number - 1, since


def _is_meant(start: str, event_id: str) -> bool:
    return event_id == start or (len(start) >= _LEAST and event_id.startswith(start.lower()))
