"""``webhook-bridge mcp``: the bridge for coding assistants."""

from __future__ import annotations

from collections.abc import Callable

import click

from admin.bridge import Bridge, open_definitions, os_user
from admin.cli.bridges import Here, here
from admin.cli.groups import fail
from config.logs import configure_logging


@click.command()
@click.option(
    "--allow-send", is_flag=True, help="Let the assistant send sample events to webhooks."
)
@click.option("--allow-replay", is_flag=True, help="Let the assistant replay events.")
@here
def mcp(here: Here, allow_send: bool, allow_replay: bool) -> None:
    """Let a coding assistant look at this bridge, using the Model Context Protocol over stdio.

    It can list and explain events, tasks, webhooks and rejections, and see what is wrong; values that `hide` names stay
    hidden. It changes nothing unless you allow it. An assistant starts this command itself: docs/agents.md says how to
    configure it. Needs the extra `mcp`.

    \b
    Example:
      claude mcp add webhook-bridge -- webhook-bridge mcp
    """
    try:
        from admin.agents.server import serve
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("mcp"):
            raise
        fail(
            "this needs the extra mcp: pip install '.[mcp]' in a checkout, or 'WHEEL[mcp]' with a"
            " release's file"
        )
    configure_logging(here.settings.bridge_log_format, "mcp")
    allowed = [
        name for name, is_allowed in (("send", allow_send), ("replay", allow_replay)) if is_allowed
    ]
    serve(_current(here), allowed)  # type: ignore[arg-type]


def _current(here: Here) -> Callable[[], Bridge]:
    """The bridge with the definitions of now, for any thread."""
    settings, store = here.settings, here.store
    definitions = open_definitions(settings, store.kept_definitions.all)

    def bridge() -> Bridge:
        definitions.check()
        return Bridge(settings, store, definitions.current, f"assistant of {os_user()}")

    return bridge
