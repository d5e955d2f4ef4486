"""The story of an event on the command line."""

from __future__ import annotations

from collections.abc import Iterable

import click

from admin.cli.tables import plain
from admin.explain.results import StoryStep
from store.records import iso


def echo_story(story: Iterable[StoryStep]) -> None:
    """What happened to an event, a line each."""
    click.echo("\nstory:")
    for one in story:
        click.echo(f"  {iso(one.at)}  {plain(one.what)}")
