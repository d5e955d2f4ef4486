"""Definitions are written through every check, in one step, and never over what somebody else
wrote."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from admin.definitions import writer as definitions_writer
from admin.definitions.entry_text import CantCut, cut_out, with_secrets, with_value
from admin.definitions.values import Secret, Verbatim, verbatim
from admin.definitions.writer import CantWrite, Changed, DefinitionsFolder, Invalid, NameTaken
from config import yaml_lines
from config.webhooks import Webhook, load_definitions
from config.yaml_lines import BadYaml, parse_yaml
from platforms import PLATFORMS

VALUE = "9f86d081884c7d659a2feaa0c55ad015"
KEYS: dict[str, Any] = {
    "name": "deploys",
    "platform": "github",
    "secret": Secret(VALUE),
    "receivers": {"deploy": "any"},
}
OTHERS = """\
# The payments team owns this file.
webhooks:
  # Ask Kim before you change it.
  - name: payments          # since 2024
    platform: stripe
    secret: "a-secret-of-the-payments-team"   # rotated in May
    receivers: {checkout: any}

  # Orders.
  - name: orders
    headers:
      X-Api-Key: 'a-key-of-the-orders-team'
    receivers:
      order_flow: [1, 2]    # not 3
    hold: 5m
"""


@pytest.fixture
def folder(tmp_path: Path) -> DefinitionsFolder:
    inside = tmp_path / "webhooks.d"
    inside.mkdir()
    return DefinitionsFolder(inside)


def read(folder: DefinitionsFolder) -> dict[str, Webhook]:
    return load_definitions(folder.folder, PLATFORMS, {}, may_be_empty=True).by_name


def version(folder: DefinitionsFolder, name: str) -> str:
    found = folder.find(name)
    assert found is not None
    return found.version


def files(folder: DefinitionsFolder) -> set[str]:
    return {
        str(path.relative_to(folder.folder))
        for path in folder.folder.rglob("[!.]*")
        if path.is_file()
    }


def test_a_new_webhook_is_a_file_of_its_own_and_its_secret_another(
    folder: DefinitionsFolder,
) -> None:
    folder.create(KEYS)
    webhook = read(folder)["deploys"]
    assert [secret.get_secret_value() for secret in webhook.secret or ()] == [VALUE]
    text = (folder.folder / "deploys.yaml").read_text()
    assert VALUE not in text
    assert "${file:secrets/deploys.secret-" in text
    (secret,) = (folder.folder / "secrets").glob("[!.]*")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700


def test_what_others_wrote_in_the_same_file_stays(folder: DefinitionsFolder) -> None:
    file = folder.folder / "teams.yaml"
    file.write_text(OTHERS)
    old = folder.find("orders")
    assert old is not None
    folder.edit("orders", old.entry.masked.replace("hold: 5m", "hold: 1m"), old.version)
    assert file.read_text() == OTHERS.replace("hold: 5m", "hold: 1m")
    folder.delete("orders", version(folder, "orders"))
    text = file.read_text()
    assert text.startswith(OTHERS[: OTHERS.index("\n  # Orders.")])
    assert set(read(folder)) == {"payments"}


def test_a_webhook_that_was_changed_meanwhile_is_not_overwritten(folder: DefinitionsFolder) -> None:
    folder.create(KEYS)
    file = folder.folder / "deploys.yaml"
    seen = version(folder, "deploys")
    file.write_text(file.read_text().replace("deploy: any", "deploy: 2"))
    written = file.read_text()
    with pytest.raises(Changed, match="nothing was overwritten"):
        folder.update("deploys", KEYS, seen)
    with pytest.raises(Changed):
        folder.delete("deploys", seen)
    assert file.read_text() == written
    file.unlink()
    with pytest.raises(Changed, match="gone"):
        folder.update("deploys", KEYS, seen)


def test_a_secret_stays_until_it_is_named_no_more(folder: DefinitionsFolder) -> None:
    folder.create(KEYS)
    old = folder.find("deploys")
    assert old is not None
    rotated = verbatim(old.keys) | {
        "secret": [Secret("another-secret-0123456789"), Verbatim(old.keys["secret"])]
    }
    folder.update("deploys", rotated, old.version)
    assert len(files(folder)) == 3
    new = folder.find("deploys")
    assert new is not None
    folder.update(
        "deploys", verbatim(new.keys) | {"secret": Verbatim(new.keys["secret"][0])}, new.version
    )
    assert len(files(folder)) == 2
    assert [secret.get_secret_value() for secret in read(folder)["deploys"].secret or ()] == [
        "another-secret-0123456789"
    ]
    folder.delete("deploys", version(folder, "deploys"))
    assert files(folder) == set()


@pytest.mark.parametrize(
    "name", ["../evil", "a/b", ".hidden", "", "/etc/cron.d/x", "a\nb", "a\x00b", "x" * 200, "..", 5]
)
def test_a_name_leads_nowhere_but_into_the_folder(folder: DefinitionsFolder, name: Any) -> None:
    before = set(folder.folder.parent.rglob("*"))
    with pytest.raises(Invalid) as caught:
        folder.create(KEYS | {"name": name})
    assert any("name" in problem.where for problem in caught.value.problems)
    assert set(folder.folder.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "value",
    [
        "a: b",
        "- x",
        "*alias",
        "!!python/object:x",
        "yes",
        "123",
        "a # b",
        '"',
        "'",
        "${HOME}",
        "${file:/etc/passwd}",
        "|",
        "\t",
    ],
)
def test_yaml_and_references_in_values_are_only_text(folder: DefinitionsFolder, value: str) -> None:
    folder.create(KEYS | {"starts": [{"workflow": value, "when": {"$.x": value}}]})
    (start,) = read(folder)["deploys"].starts
    assert (start.workflow, start.when) == (value, {"$.x": value})


def calls_of(act: Callable[[], object]) -> int:
    """How many functions of Python it takes."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


def test_aliases_without_end_cost_no_more_than_the_check_that_refuses_them(
    folder: DefinitionsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_lines, "_MAX_NODES", 2000)
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 5)]
    text = "name: deploys\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(levels)

    def check() -> None:
        with suppress(BadYaml):
            parse_yaml(text)

    calm = calls_of(check)
    assert (
        calls_of(lambda: with_secrets(text, "name: deploys\n", lambda secret, label: ""))
        < 1.2 * calm
    )
    folder.create(KEYS)
    written = folder.find("deploys")
    assert written is not None
    with pytest.raises(Invalid, match="aliases that repeat themselves without end"):
        folder.plan_edit(written, text)


def test_a_name_that_is_taken_is_not_taken_again(folder: DefinitionsFolder) -> None:
    folder.create(KEYS)
    with pytest.raises(NameTaken):
        folder.create(KEYS)
    (folder.folder / "teams.yaml").write_text(OTHERS)
    with pytest.raises(NameTaken, match=r"the name payments is taken, in teams\.yaml"):
        folder.create(KEYS | {"name": "payments"})
    assert "secrets/payments" not in " ".join(files(folder))


def test_what_is_wrong_elsewhere_does_not_stop_a_change(folder: DefinitionsFolder) -> None:
    (folder.folder / "broken.yaml").write_text(
        "webhooks:\n  - name: broken\n    platform: githup\n"
    )
    folder.create(KEYS)
    assert (folder.folder / "deploys.yaml").exists()


def test_a_disk_that_refuses_leaves_everything_as_it_was(
    folder: DefinitionsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.create(KEYS)
    before = files(folder)
    old = folder.find("deploys")
    assert old is not None

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(definitions_writer.os, "replace", full)  # type: ignore[attr-defined]
    with pytest.raises(CantWrite, match="No space left"):
        folder.update(
            "deploys",
            verbatim(old.keys) | {"secret": Secret("another-secret-0123456789")},
            old.version,
        )
    assert files(folder) == before


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(OTHERS)
    with pytest.raises(CantWrite, match="is not a folder"):
        DefinitionsFolder(file).create(KEYS)
    if os.geteuid():  # root may write anywhere
        tmp_path.chmod(0o500)
        with pytest.raises(CantWrite, match="can't be written"):
            DefinitionsFolder(tmp_path).create(KEYS)
        tmp_path.chmod(0o700)


def test_git_is_told_to_leave_the_secrets_alone(folder: DefinitionsFolder) -> None:
    folder.create(
        {
            "name": "deploys",
            "platform": "github",
            "secret": Secret("a" * 20),
            "receivers": {"w": "any"},
        }
    )
    assert (folder.folder / "secrets" / ".gitignore").read_text().splitlines()[-1] == "*"
    assert folder.find("deploys") is not None


def test_the_ends_of_lines_and_what_is_wrong_elsewhere_stay(folder: DefinitionsFolder) -> None:
    file = folder.folder / "all.yaml"
    twice = OTHERS.replace("    hold: 5m\n", "    hold: 5m\n    hold: 6m\n")
    text = twice.replace("\n", "\r\n").encode()
    file.write_bytes(text)
    payments = folder.find("payments")
    assert payments is not None
    folder.edit("payments", payments.entry.text + "pace: 5/s\n", payments.version)
    added = b"    receivers: {checkout: any}\r\n"
    after = file.read_bytes().replace(b"    pace: 5/s\r\n", b"")
    assert after[after.index(added) :] == text[text.index(added) :]


def test_a_change_that_cannot_be_written_is_said_instead_of_lost(folder: DefinitionsFolder) -> None:
    file = folder.folder / "all.yaml"
    text = (
        OTHERS.replace("{checkout: any}", "&r {checkout: any}")
        + "  - {name: c, verifier: none, receivers: *r}\n"
    )
    file.write_text(text, encoding="utf-8")
    found = folder.find("payments")
    assert found is not None
    with pytest.raises(CantWrite, match="<< or an anchor in all"):
        folder.edit("payments", found.entry.masked.replace("&r ", ""), found.version)
    with pytest.raises(CantWrite, match="<< or an anchor in all"):
        folder.delete("payments", found.version)
    flow = folder.folder / "flow.yaml"
    flow.write_text(
        "webhooks: [{name: d, verifier: none, receivers: {r: any}}]\n", encoding="utf-8"
    )
    with pytest.raises(CantCut, match="edit the file"):
        folder.update(
            "d", {"name": "d", "verifier": "none", "receivers": {"s": "any"}}, version(folder, "d")
        )
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "proof",
    [
        "<<: {secret: a-hidden-one}",
        "headers: {<<: {X-Key: a-hidden-one}}",
        "secret: {value: a-hidden-one}",
        "secret: [[a-hidden-one]]",
        "secret: &one a-hidden-one\n    headers: {X-Key: *one}",
    ],
)
def test_no_way_to_write_a_secret_shows_it(proof: str, folder: DefinitionsFolder) -> None:
    (folder.folder / "odd.yaml").write_text(
        f"webhooks:\n  - name: odd\n    {proof}\n", encoding="utf-8"
    )
    found = folder.find("odd")
    assert found is not None
    assert "***" in found.shown
    assert "a-hidden-one" not in found.shown
    with pytest.raises(CantCut, match="edit odd"):
        _ = found.masked


@pytest.mark.parametrize(
    ("written", "after"),
    [
        (
            "- name: a\n  secret: ${OLD}  # ours\n  hold: 1m\n",
            "- name: a\n  secret: NEW  # ours\n  hold: 1m\n",
        ),
        (
            "- name: a\n  secret:\n  - ${OLD}\n  # below\n  hold: 1m\n",
            "- name: a\n  secret:\n  NEW\n  # below\n  hold: 1m\n",
        ),
        ("- {name: a, secret: [x, y], hold: 1m}\n", "- {name: a, secret: NEW, hold: 1m}\n"),
        ("- {name: a, hold: 1m}\n", "- {secret: NEW, name: a, hold: 1m}\n"),
        ("- name: a\n  hold: 1m\n\n# end\n", "- name: a\n  hold: 1m\n  secret: NEW\n\n# end\n"),
    ],
)
def test_a_value_is_put_where_it_belongs_and_the_rest_stays(written: str, after: str) -> None:
    text = f"webhooks:\n{written}"
    entry = cut_out(text, parse_yaml(text), 0)
    new = entry.put_back(with_value(entry.text, ("secret",), ["1", "2"]))
    assert new.replace('["1", "2"]', "NEW") == f"webhooks:\n{after}"
