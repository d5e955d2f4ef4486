"""Groups of commands: those that are imported when they are used, and what is printed instead of a
traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NoReturn, TypeVar

import click
from click.exceptions import NoSuchCommand

from admin.wording.terminal import plain

_Command = TypeVar("_Command", bound=Callable[..., Any])
SERVER, TOKEN = "webhook-bridge.server", "webhook-bridge.token"
"""Under which a context keeps what these options say, wherever they stand in the line."""
_OF_CLICK = (click.ClickException, click.Abort, click.exceptions.Exit)


def fail(message: object) -> NoReturn:
    """Prints what is wrong and exits with 1."""
    click.echo(plain(message, lines=True), err=True)
    sys.exit(1)


def _exit_if_foreseen(error: Exception) -> None:
    """Exits with the error's text, if that tells people what is wrong."""
    # Imported here: each command that can raise them has imported them by now, and the others start
    # without.
    from admin.errors import CantDo
    from admin.search import BadFilter
    from config.settings import SettingsError
    from config.webhooks import DefinitionsError
    from platforms.verifiers import CannotSign
    from relay.retry import StillRejected
    from store.errors import NewerStore, StoreUnavailable

    if isinstance(error, BadFilter):
        raise click.UsageError(str(error)) from None
    foreseen = (
        SettingsError,
        DefinitionsError,
        StoreUnavailable,
        NewerStore,
        CantDo,
        StillRejected,
        CannotSign,
    )
    if isinstance(error, foreseen):
        fail(error)


def server_options(command: _Command) -> _Command:
    """The options that name another machine's bridge."""
    server = _kept_option(
        "--server",
        SERVER,
        metavar="URL",
        help="Ask the admin page there, not this machine's store; by default BRIDGE_SERVER.",
    )
    token = _kept_option(
        "--token",
        TOKEN,
        metavar="@FILE|-|TEXT",
        help="Its admin or viewer token; by default BRIDGE_TOKEN.",
    )
    return server(token(command))


def _kept_option(name: str, key: str, **more: Any) -> Callable[[_Command], _Command]:
    """An option that no command takes as an argument: its value is kept under the key in
    `ctx.meta`."""

    def keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.meta[key] = value

    return click.option(name, expose_value=False, callback=keep, **more)


class Commands(click.Group):
    """A group whose commands print what is wrong in one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except _OF_CLICK:
            raise
        except Exception as error:
            _exit_if_foreseen(error)
            raise


class ImportedCommands(Commands):
    """A group that imports a command when it is used: all of them take longer to import than most
    take to run."""

    def __init__(self, *given: Any, places: Mapping[str, tuple[str, str]], **more: Any):
        """`places`: name → where it is, such as ``webhooks:pause``, in `admin.cli`; and what the
        list says of it."""
        super().__init__(*given, **more)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._places:
            return None
        place, summary = self._places[cmd_name]
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(import_module(f"admin.cli.{module}"), attribute)
        command.short_help = summary
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggests commands that aren't imported yet, too."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(
                error.command_name, possibilities=self.list_commands(ctx), ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._places[name][1]) for name in self.list_commands(ctx)])
