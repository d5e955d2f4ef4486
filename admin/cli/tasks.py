"""The commands about what is waiting: tasks."""

from __future__ import annotations

import sys

import click

from admin import operations
from admin.cli.bridges import Here, asks, here
from admin.cli.common import (
    LIMIT,
    Columns,
    as_json_option,
    echo_comparison,
    echo_fields,
    echo_json,
    echo_list,
)
from admin.cli.groups import Commands
from admin.wording.terminal import compact, plain, pretty


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--workflow", help="Only tasks of workflows with this name.")
@click.option(
    "--broken", is_flag=True, help="Only tasks whose matches are missing or can't be parsed."
)
@click.option(
    "-n", "--limit", type=LIMIT, default=1000, show_default=True, help="How many at most."
)
@as_json_option
@asks
def tasks(here: Here, workflow: str | None, broken: bool, limit: int, as_json: bool) -> None:
    """List waiting WAIT_FOR_WEBHOOK tasks with their matches; or show one.

    \b
    Examples:
      webhook-bridge tasks --workflow deploy
      webhook-bridge tasks show TASK_ID          which recent events came close, and what they lacked
      webhook-bridge tasks forget TASK_ID        Conductor has lost it for good: it no longer waits
    """
    found = here.ask(
        "GET tasks",
        lambda bridge: operations.list_tasks(bridge, workflow, limit, broken=broken),
        workflow=workflow,
        limit=limit,
        broken=broken,
    )
    columns: Columns = {
        "TASK": "taskId",
        "WORKFLOW": "workflow",
        "WORKFLOW ID": "workflowId",
        "REFERENCE": "referenceName",
        "WAITING SINCE": "waitingSince",
        "MATCHES": lambda task: (
            f"BROKEN: {task['broken']}" if "broken" in task else compact(task["matches"])
        ),
    }
    echo_list(found, columns, "no task is known to be waiting", as_json)
    if len(found) == limit:
        click.echo(f"only {limit} tasks are listed; see --limit", err=True)


@tasks.command("forget", short_help="No longer wait for tasks that Conductor has lost.")
@click.argument("task_ids", metavar="TASK_ID...", nargs=-1, required=True)
@here
def forget_tasks(here: Here, task_ids: tuple[str, ...]) -> None:
    """No longer wait for these tasks: Conductor has lost them for good, as after a reset of its
    database.

    The bridge itself forgets a task that Conductor has lost only while Conductor knows others that
    waited before. A task that Conductor shows in progress is found again.
    """
    forgotten = operations.forget_tasks(here.bridge, task_ids)
    for task_id in forgotten:
        click.echo(f"{task_id} is forgotten")
    for task_id in sorted(set(task_ids).difference(forgotten)):
        click.echo(f"{task_id} does not wait", err=True)
    sys.exit(int(len(forgotten) < len(set(task_ids))))


@tasks.command("show", short_help="Show a task, and which events came close.")
@click.argument("task_id")
@click.option(
    "-n", "--limit", type=LIMIT, default=10, show_default=True, help="How many events at most."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@asks
def show_task(here: Here, task_id: str, limit: int, as_json: bool) -> None:
    """Show a task, and which recent events came closest to it: why is it still waiting?

    For a task that is set aside, because it or its workflow can't be read: the reason, and when it
    is tried next.
    """
    task = here.ask(
        "GET tasks/{task_id}",
        lambda bridge: operations.show_task(bridge, task_id, limit),
        task_id=task_id,
        limit=limit,
    )
    if as_json:
        echo_json(task)
        return
    fields = {
        "task": task["taskId"],
        "reference": task["referenceName"],
        "workflow": f"{task['workflow']} ({task['workflowId']})",
        "state": task["state"],
        "waiting since": task["waitingSince"],
        "domain": task["domain"],
    }
    echo_fields(fields)
    click.echo(f"  {plain(task['meaning'])}\n\nmatches:\n{pretty(task['matches'])}")
    if not task["events"]:
        click.echo("\nNo event of its webhooks is stored.")
    for event in task["events"]:
        verdict, webhook = event["verdict"].upper(), plain(event["webhook"])
        click.echo(
            f"\n{verdict}  event {event['eventId']} of {webhook}, {event['status']},"
            f" {event['receivedAt']}"
        )
        echo_comparison(event)
