"""The documentation knows every setting, command, platform and dependency, and its links lead
somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from config.settings import Settings
from platforms import PLATFORMS
from tests.support import pages
from tests.support.document import RECIPES, recipe
from tools.servers.conductor import RELEASE

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "platforms").rglob("README.md")),
]


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_the_readme_names_every_setting(setting: str) -> None:
    assert f"| `{setting.upper()}` |" in README


def test_the_readme_names_no_setting_that_there_is_not() -> None:
    named = set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE))
    assert named - {"PORT", "ADMIN_PORT", "ADMIN_HOST"} == {
        name.upper() for name in Settings.model_fields
    }


def commands(group: click.Group, *names: str) -> Iterator[str]:
    """The full names of the group's commands."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if not command.hidden:
            yield " ".join(("webhook-bridge", *names, name))
            if isinstance(command, click.Group):
                yield from commands(command, *names, name)


def test_the_readme_names_every_command() -> None:
    from admin.cli import main

    assert isinstance(main, click.Group)
    missing = [command for command in commands(main) if f"`{command}" not in README]
    assert missing == []


def inline_commands() -> list[str]:
    """The commands in the pages' sentences."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES if page.name != "CHANGELOG.md"]
    found = {
        one for text in texts for one in re.findall(r"(?<!`)`(webhook-bridge\s[^`]+)`(?!`)", text)
    }
    return sorted(" ".join(one.split()) for one in found)


@pytest.mark.parametrize("command", inline_commands())
def test_a_command_in_a_sentence_is_one_that_there_is(command: str) -> None:
    """Its options too. Words in capitals stand for what the reader has."""
    from admin.cli import main

    found: click.Command = main
    words = shlex.split(re.split(r" (?:>|&&|\|) ", command)[0].replace("…", "last"))[1:]
    while isinstance(found, click.Group) and words:
        inner = found.get_command(click.Context(found), words[0])
        if inner is None:
            break
        found = inner
        words.pop(0)
    assert not isinstance(found, click.Group) or not words or words[0].startswith("-"), (
        f"no {words[0]}"
    )
    if words:  # otherwise the sentence names the command only
        found.make_context(
            command,
            words,
            resilient_parsing=any("FILE" in word or word == "--help" for word in words),
        )


@pytest.mark.parametrize("path", pages.PAGES)
def test_every_command_of_a_page_is_run_or_left_out_for_a_reason(path: str) -> None:
    is_run = path in (*pages.RUN, *pages.IN_A_CLEAN_FOLDER) or path in {
        page.path for page in map(recipe, RECIPES)
    }
    assert is_run or path in pages.OTHERS or not pages.PAGES[path].steps, (
        "run the page, or say why it can't be"
    )


def test_nothing_is_left_out_that_no_page_has() -> None:
    commands = {
        step.command
        for path in (*pages.RUN, *pages.IN_A_CLEAN_FOLDER)
        for step in pages.PAGES[path].steps
    }
    assert set(pages.LEFT_OUT) <= commands
    assert [path for path in pages.OTHERS if path not in pages.PAGES] == []


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_readme_and_platforms_page_name_every_platform(platform: str) -> None:
    assert f"`{platform}`" in README
    assert f"`{platform}`" in (ROOT / "docs" / "platforms.md").read_text(encoding="utf-8")


def test_the_decisions_give_a_reason_for_every_dependency() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = project[project.index("\ndependencies = [") : project.index("[project.scripts]")]
    names = re.findall(r'^    "([A-Za-z0-9.-]+)', required, re.MULTILINE)
    assert "flask" in names
    reasons = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8").lower()
    assert [name for name in names if f"**{name.replace('.', '-')}**" not in reasons] == []


def anchor(heading: str) -> str:
    """The anchor that a heading gets on the usual code hosts."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {target}, which is not there"
        if fragment and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in map(anchor, headings), (
                f"{page.name} links to {target}: no such heading"
            )


def test_the_guarantees_name_tests_that_exist() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named, "the page names the tests that show the guarantees"
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


def test_the_names_of_tests_have_less_than_a_hundred_characters() -> None:
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    assert [name for name in re.findall(r"def (test_\w+)", tests) if len(name) >= 100] == []


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("README.md", "a server of Conductor OSS {}"),
        ("compose.yaml", "image: conductoross/conductor:{}\n"),
        ("CHANGELOG.md", "(tested with {})"),
        ("docs/conductor.md", "built and tested on Conductor OSS {}"),
        ("docs/orkes.md", "No release up to {} has any"),
    ],
)
def test_conductors_release_is_the_one_that_is_tested(file: str, words: str) -> None:
    assert words.format(RELEASE) in (ROOT / file).read_text(encoding="utf-8")
