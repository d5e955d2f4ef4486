"""Each file of definitions stands alone, and what was last good of it outlives the process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.last_good import LastGood
from config.webhooks import Definitions, DefinitionsError
from platforms import PLATFORMS

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


def signed(name: str, secret: str = "${KEY}", more: str = "") -> str:
    return (
        f'- {{name: {name}, platform: github, secret: "{secret}", receivers: {{w: any}}{more}}}\n'
    )


class Folder:
    """A folder of definitions, and what is loaded of them."""

    def __init__(self, path: Path):
        self.path = path
        self.last_good = LastGood(PLATFORMS)

    def write(self, name: str, *webhooks: str, text: str | None = None) -> None:
        (self.path / name).write_text("webhooks:\n" + "".join(webhooks) if text is None else text)

    def load(self) -> Definitions:
        return self.last_good.load(self.path)

    def restart(self, kept: Mapping[str, str] | None = None) -> Definitions:
        """A new process, with what the one before has kept."""
        kept = self.last_good.kept() if kept is None else kept
        self.last_good = LastGood(PLATFORMS)
        return self.last_good.begin(self.path, lambda: kept)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", SECRET)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("a.yaml", signed("a1"), signed("a2"))
    folder.write("b.yaml", signed("b1"))
    assert names(folder.load()) == ["a1", "a2", "b1"]
    return folder


def names(definitions: Definitions) -> list[str]:
    return sorted(definitions.by_name)


@pytest.mark.parametrize(
    "broken", ["webhooks: [", "webhooks:\n- {name: a1, plat: x}\n" + signed("new"), ""]
)
def test_a_broken_file_keeps_its_last_good_webhooks_and_the_others_go_on(
    folder: Folder, broken: str
) -> None:
    folder.write("a.yaml", text=broken)
    folder.write("b.yaml", signed("b1"), signed("b2"))
    definitions = folder.load()
    assert names(definitions) == ["a1", "a2", "b1", "b2"]
    assert {Path(problem.file).name for problem in definitions.errors} == {"a.yaml"}
    folder.write("a.yaml", signed("a3"))
    definitions = folder.load()
    assert names(definitions) == ["a3", "b1", "b2"]
    assert definitions.errors == ()


def test_a_process_that_begins_takes_the_broken_files_webhooks_from_what_was_kept(
    folder: Folder,
) -> None:
    folder.write("a.yaml", text="webhooks: [")
    folder.write("c.yaml", text="webhooks: {}")
    definitions = folder.restart()
    assert names(definitions) == ["a1", "a2", "b1"]
    assert {Path(problem.file).name for problem in definitions.errors} == {"a.yaml", "c.yaml"}
    assert sorted(folder.last_good.kept()) == ["a.yaml", "b.yaml"], (
        "what was kept of the broken file stays kept"
    )
    assert names(folder.restart()) == ["a1", "a2", "b1"]


def test_a_file_that_went_while_no_process_ran_is_not_taken_up(folder: Folder) -> None:
    kept = folder.last_good.kept()
    (folder.path / "a.yaml").unlink()
    folder.write("b.yaml", text="[")
    assert names(folder.restart(kept)) == ["b1"]


def test_a_folder_that_cannot_be_read_begins_with_all_that_was_kept(
    folder: Folder, tmp_path: Path
) -> None:
    kept = folder.last_good.kept()
    folder.path = tmp_path / "nothing"
    definitions = folder.restart(kept)
    assert names(definitions) == ["a1", "a2", "b1"]
    assert "no such file or folder" in str(definitions.errors[0])


def test_a_single_file_is_kept_as_a_folder_is(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("webhooks.yaml", signed("a"))
    folder.path = tmp_path / "webhooks.yaml"
    folder.load()
    kept = folder.last_good.kept()
    folder.path.write_text("webhooks: [")
    assert names(folder.restart(kept)) == ["a"]
    folder.path.unlink()
    assert names(folder.restart(kept)) == ["a"]


def test_with_nothing_good_known_a_process_cannot_begin(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("a.yaml", text="webhooks: [")
    with pytest.raises(DefinitionsError, match=r"a\.yaml"):
        folder.restart({})

    def unavailable() -> Mapping[str, str]:
        raise OSError("the store is away")

    with pytest.raises(DefinitionsError, match=r"a\.yaml"):
        LastGood(PLATFORMS).begin(tmp_path, unavailable)
    folder.write("b.yaml", signed("b"))
    assert names(LastGood(PLATFORMS).begin(tmp_path, unavailable)) == ["b"]


def test_no_secret_is_kept(folder: Folder) -> None:
    (folder.path / "key").write_text(SECRET)
    folder.write(
        "a.yaml",
        f"# {SECRET}\n",
        signed("by-variable"),
        signed("by-file", "${file:key}"),
        signed("inline", SECRET, ", id: other"),
        f"- {{name: header, headers: {{X: '{SECRET}'}}, receivers: {{w: 1}}}}\n",
        f"- {{name: half, headers: {{X: '${{KEY}}{SECRET}'}}, receivers: {{w: 1}}}}\n",
        f"- {{name: hmac, signature: {{header: X, secret: ['${{KEY}}', '{SECRET}']}}, receivers: {{w: 1}}}}\n",
    )
    folder.load()
    kept = folder.last_good.kept()
    assert SECRET not in json.dumps(kept)
    folder.write("a.yaml", text="[")
    assert names(folder.load()) == [
        "b1",
        "by-file",
        "by-variable",
        "half",
        "header",
        "hmac",
        "inline",
    ], "in this process"
    definitions = folder.restart(kept)
    assert names(definitions) == ["b1", "by-file", "by-variable"]
    assert definitions.unavailable == {"other", "header", "half", "hmac"}
    assert (
        "/webhook/other: its last good definition can't be used (its secret is in the YAML"
        in "\n".join(map(str, definitions.errors))
    )
    assert folder.restart().unavailable == definitions.unavailable, "also of the next process"


def test_secrets_are_read_anew_while_a_file_is_broken(folder: Folder) -> None:
    def secret_of(definitions: Definitions) -> str:
        [secret] = definitions.by_name["a1"].secret or ()
        return secret.get_secret_value()

    folder.write("a.yaml", signed("a1", "${file:key}"))
    (folder.path / "key").write_text(SECRET)
    folder.load()
    folder.write("a.yaml", text="[")
    (folder.path / "key").write_text("another-secret-of-32-characters!")
    definitions = folder.load()
    assert secret_of(definitions) == "another-secret-of-32-characters!"
    assert folder.path / "key" in definitions.sources, "so that it is watched"
    (folder.path / "key").unlink()
    assert secret_of(folder.load()) == "another-secret-of-32-characters!", "what is known goes on"
    definitions = folder.restart()
    assert definitions.unavailable == {"a1"}
    assert (
        "its last good definition can't be used (webhook a1: secret: the file key can't be read"
        in "\n".join(map(str, definitions.errors))
    )
    (folder.path / "key").write_text(SECRET)
    definitions = folder.load()
    assert secret_of(definitions) == SECRET
    assert definitions.unavailable == frozenset()


def test_a_name_that_two_files_have_is_the_later_files_error_alone(folder: Folder) -> None:
    folder.write("b.yaml", signed("a1"), signed("b2"))
    definitions = folder.load()
    assert names(definitions) == ["a1", "a2", "b1"]
    assert {Path(problem.file).name for problem in definitions.errors} == {"b.yaml"}
    assert "the name a1 is taken" in str(definitions.errors[0])


def test_a_webhook_that_has_moved_to_another_file_is_there_once(folder: Folder) -> None:
    folder.write("b.yaml", text="[")
    folder.write("a.yaml", signed("a1"), signed("b1", more=", hold: 1h"))
    definitions = folder.load()
    assert names(definitions) == ["a1", "b1"]
    assert definitions.by_name["b1"].hold == 3600


@pytest.mark.parametrize("kept", ["no JSON", "[]", '{"webhooks": [5], "leftOut": []}'])
def test_what_another_version_has_kept_is_said_to_be_unreadable(folder: Folder, kept: str) -> None:
    folder.write("a.yaml", text="[")
    with capture_logs() as lines:
        definitions = folder.restart({"a.yaml": kept})
    assert names(definitions) == ["b1"]
    assert [(line["event"], line["file"]) for line in lines] == [
        ("this version can't read what another kept of a file", "a.yaml")
    ]


def test_a_kept_definition_that_this_version_does_not_take_is_answered_503_and_said(
    folder: Folder,
) -> None:
    written = [
        {
            "name": "a1",
            "platform": "github",
            "secret": "${KEY}",
            "receivers": {"w": 1},
            "newer": True,
        }
    ]
    folder.write("a.yaml", text="[")
    definitions = folder.restart({"a.yaml": json.dumps({"webhooks": written, "leftOut": []})})
    assert definitions.unavailable == {"a1"}
    assert "webhook a1: newer: unknown key" in "\n".join(map(str, definitions.errors))


def test_people_see_what_can_be_read_of_a_broken_file_and_the_last_good_webhooks_of_the_rest(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = folder.last_good.kept()
    monkeypatch.delenv("KEY")  # an operator's shell
    process = LastGood(PLATFORMS, partial=True)
    found = process.begin(folder.path, lambda: kept)
    assert names(found) == ["a1", "a2", "b1"]
    assert len(found.errors) == 3
    folder.write("a.yaml", "- {name: a1, plat: x}\n", signed("new"))
    folder.write("b.yaml", text="webhooks: [")
    found = process.load(folder.path)
    assert names(found) == ["a1", "a2", "b1", "new"]
    assert [str(error) for error in found.errors if "503" in str(error)] == []


def test_people_see_webhooks_of_broken_files_of_which_nothing_good_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "webhooks:\n- {name: a1, plat: x}\n" + signed("a2") + signed("a2", more=", pace: 1/s")
    )
    found = LastGood(PLATFORMS, partial=True).load(tmp_path)
    assert [(webhook.name, webhook.pace) for webhook in found.webhooks] == [("a2", None)]
    assert found.errors
