"""What the commands share: settings, definitions and store, loaded when first needed, and
printing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from admin.api_object import ApiObject, Json
from admin.api_object import as_json as to_json
from admin.bridge import open_definitions
from admin.events.filters import STATUSES, Parts
from admin.wording.terminal import compact, plain, table
from config.quantities import parse_duration
from config.settings import SettingsError, load_settings
from config.urls import parts_of

_Value = TypeVar("_Value")
_Command = TypeVar("_Command", bound=Callable[..., Any])


Columns = Mapping[str, str | Callable[[Json], object]]
"""Heading of a table → the field of the JSON that is below it, or what to make of all of the JSON.
"""
LIMIT = click.IntRange(1, 1_000_000_000)
"""How many may be asked for: fewer than any database counts to."""
as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of a table."
)


class Parsed(click.ParamType[_Value]):
    """What a function makes of the text of an argument or option; its ValueError says what is wrong
    with it."""

    def __init__(self, name: str, parse: Callable[[str], _Value]):
        self.name = name
        self._parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> _Value:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _http_url(text: str) -> str:
    parts = parts_of(text)
    if parts is None:
        raise ValueError(f"{text!r} is not a URL; write one such as http://localhost:8000")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a password shows it to everyone on this machine")
    return text


DURATION = Parsed("duration", parse_duration)
"""Seconds."""
HTTP_URL = Parsed("url", _http_url)


def complete_webhook(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of webhooks for shell completion."""
    try:
        names = open_definitions(load_settings(), dict).current.by_name
    except SettingsError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def echo_json(found: object) -> None:
    """The objects, or what is JSON already."""
    click.echo(json.dumps(to_json(found), indent=2))


def echo_list(
    found: Sequence[ApiObject] | Sequence[Json], columns: Columns, nothing: str, as_json: bool
) -> None:
    """The objects as JSON, or as a table. `columns`: heading → the field in the JSON, or what to
    make of all of it."""
    if as_json:
        echo_json(found)
        return
    rows = [
        [one.get(cell) if isinstance(cell, str) else cell(one) for cell in columns.values()]
        for one in to_json(found)
    ]
    echo_table(list(columns), rows, nothing)


def echo_table(headings: Sequence[str], rows: Sequence[Sequence[object]], nothing: str) -> None:
    """The table, or `nothing` on stderr if it would be empty."""
    if rows:
        click.echo(table(headings, rows))
    else:
        click.echo(nothing, err=True)


def note_search(since: str) -> None:
    """Says that a list is short because its search ended, and how to go on."""
    since = plain(since)
    click.echo(
        f"searched back to {since}; for older ones: --until {since}, or narrow the time with"
        " --since",
        err=True,
    )


def echo_fields(fields: Mapping[str, object]) -> None:
    """A line for each field that has a value."""
    for name, value in fields.items():
        if value is not None:
            click.echo(f"{name + ':':<12} {plain(value)}")


def echo_values(heading: str, values: Mapping[str, Any] | None) -> None:
    """JSON values below a heading; nothing if there are none."""
    if values:
        click.echo(f"\n{heading}:")
        for key, value in values.items():
            click.echo(
                f"  {plain(key)}: {plain(value) if isinstance(value, str) else compact(value)}"
            )


def echo_comparison(comparison: Json) -> None:
    """How near an event and a task came to each other."""
    # Where they differ, the reason is the first criterion that doesn't hold, which is listed.
    if comparison["verdict"] != "differs":
        click.echo(f"  {plain(comparison['reason'])}")
    echo_criteria(comparison["criteria"])


def echo_criteria(criteria: Sequence[Json], otherwise: str = "") -> None:
    """The criteria, or else why there are none."""
    if not criteria and otherwise:
        click.echo(f"  {plain(otherwise)}")
    for criterion in criteria:
        click.echo(f"    {'ok ' if criterion['holds'] else 'NOT'} {plain(criterion['inWords'])}")


def echo_left_out(left_out: Mapping[str, int], to_stderr: bool = True) -> None:
    """Reasons, each with how many are left out for it."""
    for reason, number in sorted(left_out.items()):
        click.echo(f"{number} left out: {plain(reason)}", err=to_stderr)


def confirm(reason: str, question: str, done: str = "replayed") -> None:
    """Returns if the answer is yes. Exits with 2 if nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"nothing was {done}: {reason}. To do it anyway, add --yes")
    click.confirm(f"{reason}.\n{question}", abort=True, err=True)


def secret_given(text: str | None, option: str = "--secret") -> str:
    """The secret of an option, empty for none. Exits with 2 if it can't be read."""
    try:
        return bytes_given(text or "", option).decode().strip()
    except UnicodeDecodeError:
        raise click.BadParameter("not UTF-8 text", param_hint=option) from None


def bytes_given(text: str, option: str) -> bytes:
    """What an option says by @FILE, by - or @- (standard input), or by the text itself."""
    if text in ("-", "@-"):
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{text[1:]}: {error.strerror}", param_hint=option) from None


_SHORT = {"webhook": ["-w"], "status": ["-s"], "text": ["-t"]}
_MORE: Mapping[str, Mapping[str, Any]] = {
    "webhook": {"shell_complete": complete_webhook},
    "status": {"type": click.Choice(STATUSES)},
    "where": {"multiple": True, "metavar": "$.PATH=VALUE"},
    "since": {"metavar": "TIME"},
    "until": {"metavar": "TIME"},
}


def filter_options(which: str) -> Callable[[_Command], _Command]:
    """The options of a filter; `which` begins their help."""

    def add(command: _Command) -> _Command:
        for name, field in reversed(Parts.model_fields.items()):
            text = (field.description or "").replace("only those", which) + "."
            command = click.option(
                f"--{name}", *_SHORT.get(name, ()), help=text, **_MORE.get(name, {})
            )(command)
        return command

    return add
