"""``webhook-bridge find``: what an id belongs to."""

from __future__ import annotations

import sys

import click

from admin.api_object import Json
from admin.cli.bridges import Here, asks
from admin.cli.common import as_json_option, echo_json
from admin.find import find
from admin.wording.terminal import compact, plain

_DONE = {"complete": "completed", "start": "started it", "message": "sent it a message"}
_DOING = {"complete": "completing", "start": "starting it", "message": "sending it a message"}


@click.command("find")
@click.argument("text", metavar="ID")
@as_json_option
@asks
def find_id(here: Here, text: str, as_json: bool) -> None:
    """Find what an ID belongs to: an event, a delivery, a task, a workflow, or a correlation id.

    Of an id in the form of those below, the first eight characters are enough. Of a workflow it shows what the bridge
    has done to it, and what it still waits for. Exits with 1 if nothing is found.

    \b
    Examples:
      webhook-bridge find 7d0c3a30-8f0e-11f0-9d5e-0242ac120002     a workflow's id, from Conductor
      webhook-bridge find 01935c2e                                 the beginning of an event's id
    """
    found = here.ask("GET find", lambda bridge: find(bridge, text), id=text)
    has_none = not found["events"] and not found["workflows"]
    if as_json:
        echo_json(found)
    elif has_none:
        said = (
            f"nothing has the id {text}: no event, delivery or task in the store, no workflow that"
            " the bridge has completed a task of, started, or sent a message"
        )
        click.echo(plain(said), err=True)
    else:
        for event in found["events"]:
            _echo_event(event)
        for workflow in found["workflows"]:
            _echo_workflow(workflow)
    sys.exit(has_none)


def _echo_event(event: Json) -> None:
    webhook, at = plain(event["webhook"]), event["receivedAt"]
    click.echo(f"event {event['eventId']} of {webhook}, received at {at}")
    what = ": ".join(filter(None, (event["statusInWords"], event["effects"])))
    click.echo(f"  {plain(what)}")


def _echo_workflow(workflow: Json) -> None:
    click.echo(f"workflow {plain(workflow['workflow'])} {plain(workflow['workflowId'])}")
    for target in workflow["done"]:
        at = target["settledAt"] or target["createdAt"]
        click.echo(f"  {at}  {plain(_done(target))}, event {target['eventId']}")
    waiting = [task for task in workflow["tasks"] if task["state"] == "waiting"]
    for task in waiting:
        why = f" for {compact(task['matches'])}"
        if "broken" in task:
            why = f", broken: {task['broken']}"
        click.echo(f"  {task['waitingSince']}  waits at {plain(task['referenceName'] + why)}")
        click.echo(
            f"    what recent events lacked: webhook-bridge tasks show {plain(task['taskId'])}"
        )
    if not waiting:
        click.echo("  no task of it is known to be waiting")


def _done(target: Json) -> str:
    """What the bridge has done to the workflow, or tries to."""
    is_done = target["state"] == "done"
    what = (_DONE if is_done else _DOING)[target["kind"]]
    if target["kind"] == "complete":
        what += f" {target['referenceName']}"
    if is_done:
        return what
    error = f" ({target['error']})" if target["error"] else ""
    return f"{target['state']}: {what}{error}"
