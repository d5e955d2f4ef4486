"""Rejected deliveries: the list, and the retry of those that were kept with their bytes."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, make_response, redirect, request, url_for

from admin.api.objects import KeptRejection
from admin.api.openapi import answers
from admin.events.filters import check_webhook, names_for
from admin.events.kept_rejections import ALL, AcceptedRejection, KeptRejections
from admin.page.pages import LONGEST_SHOWN, blueprint, bridge, chosen_webhook, render
from admin.wording.terminal import pretty

api = Blueprint("rejections_api", __name__, url_prefix="/api")

_LISTED = 200


@blueprint.get("/rejections")
def rejections() -> str:
    here = bridge()
    webhook = chosen_webhook(here)
    filtered = request.args.get("filtered") == "true"
    found = here.store.without_events.rejections(webhook, _LISTED, filtered)
    return render(
        "rejections.html",
        rejections=found,
        filtered=filtered,
        webhook=webhook,
        names=names_for(here, webhook),
        keeping=sorted({one.webhook for one in found if one.kept_id is not None}),
    )


@blueprint.get("/rejections/<rejection_id>")
def rejection(rejection_id: str) -> str:
    shown = KeptRejections(bridge()).shown(rejection_id)
    payload = pretty(shown.payload, LONGEST_SHOWN) if shown.payload is not None else None
    return render(
        "rejection.html",
        shown=shown,
        delivery=shown.delivery,
        payload=payload[:LONGEST_SHOWN] if payload else None,
    )


@blueprint.post("/rejections/<rejection_id>/retry")
def retry_one(rejection_id: str) -> Response:
    accepted = KeptRejections(bridge()).accept_one(rejection_id)
    return make_response(redirect(url_for(".event", event_id=accepted.event_id), 303))


@blueprint.get("/rejections/retry")
def ask_retry() -> str:
    """Asks for confirmation before deliveries are accepted."""
    here, webhook = bridge(), _webhook(request.args.get("webhook"))
    refused = KeptRejections(here)
    return render("retry.html", webhook=webhook, plan=refused.plan(refused.of(webhook)))


@blueprint.post("/rejections/retry")
def retry_many() -> str:
    """Accepts exactly as many as were confirmed."""
    here, webhook = bridge(), _webhook(request.form.get("webhook"))
    refused = KeptRejections(here)
    plan = refused.plan(refused.of(webhook))
    if not plan.ready or request.form.get("number") != str(len(plan.ready)):
        # Deliveries have come, gone or been accepted since then: what was confirmed is not what
        # would happen.
        return render("retry.html", webhook=webhook, plan=plan, changed=True)
    done = refused.retry(plan.ready, ALL)
    return render("retried.html", webhook=webhook, done=done)


@api.get("/rejections/<rejection_id>")
@answers(KeptRejection, 404)
def api_rejection(rejection_id: str) -> Any:
    """A rejected delivery that was kept, and whether it would be accepted now"""
    shown = KeptRejections(bridge()).shown(rejection_id)
    return KeptRejection.of(shown, shown.delivery)


@api.post("/rejections/<rejection_id>/retry")
@answers(AcceptedRejection, 404, 409, status=201)
def api_retry(rejection_id: str) -> Any:
    """Verify a rejected delivery again, and accept it as an event that arrives now"""
    return KeptRejections(bridge()).accept_one(rejection_id), 201


def _webhook(name: str | None) -> str:
    if not name:
        abort(400, "name a webhook")
    check_webhook(bridge(), name)
    return name
