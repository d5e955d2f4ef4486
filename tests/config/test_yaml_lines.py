"""Reading YAML as plain values with lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.yaml_lines import BadYaml, Located, parse_yaml, read_yaml

HEAD = "webhooks:\n  - name: a\n    platform: github\n"


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def write_and_read(text: str | bytes) -> Located:
        file = tmp_path / "a.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_yaml(file)

    return write_and_read


def test_every_key_and_item_has_its_line(read: Any) -> None:
    document = read("a:\n  - b: 1\n    c:\n      d: 2\n  -\n    e: 3\n")
    assert document.value == {"a": [{"b": 1, "c": {"d": 2}}, {"e": 3}]}
    assert document.line(("a",)) == 1
    assert document.line(("a", 0, "b")) == 2
    assert document.line(("a", 0, "c", "d")) == 4
    assert document.line(("a", 1, "e")) == 6


def test_a_place_that_is_not_there_has_the_line_around_it(read: Any) -> None:
    document = read("a:\n  - b: 1\n")
    assert document.line(("a", 0, "missing", 3)) == 2
    assert document.line(("nothing",)) == 1


def test_scalars_are_yaml_1_2(read: Any) -> None:
    text = "{a: on, b: yes, c: 2024-01-01, d: 0x10, e: 1.5, f: true, g: ~, h: '1', i: .nan, j: !!str 5}"
    assert read(text).value == {
        "a": "on",
        "b": "yes",
        "c": "2024-01-01",
        "d": 16,
        "e": 1.5,
        "f": True,
        "g": None,
        "h": "1",
        "i": ".nan",
        "j": "5",
    }


def test_merged_keys_have_the_line_they_were_written_at(read: Any) -> None:
    document = read(
        "a: &base\n  x: 1\n  y: 2\nb:\n  <<: *base\n  y: 3\nc:\n  <<: [*base, {z: 4}]\n"
    )
    assert document.value["b"] == {"x": 1, "y": 3}
    assert document.value["c"] == {"x": 1, "y": 2, "z": 4}
    assert document.line(("b", "x")) == 2
    assert document.line(("b", "y")) == 6


def test_repeated_keys_are_all_found_and_the_first_counts(read: Any) -> None:
    document = read("a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert document.value == {"a": 1, "b": {"c": 1}}
    assert document.repeated == [(("a",), 3), (("b", "c"), 2)]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_none(read: Any, text: str) -> None:
    assert read(text).value is None


def test_a_byte_order_mark_and_windows_line_ends_are_read(read: Any) -> None:
    document = read(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - c\r\n")
    assert document.value == {"a": 1, "b": ["c"]}
    assert document.line(("b", 0)) == 3


def test_a_character_escaped_as_json_does_is_one(read: Any) -> None:
    assert read(r'{"\ud83d\ude00": "a\ud83d\ude00\u00e9", b: 😀}').value == {
        "😀": "a😀é",
        "b": "😀",
    }


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a:\n\tb: 1\n", 2, "cannot start any token"),
        ("a: 1\nb: [1\n", 2, "a flow sequence"),
        ("a:\n  b: {c: 1\n  d: 2\n", 2, "a flow mapping"),
        ("a: 1\nb: {X: ${NAME}}\n", 2, "a reference that isn't quoted"),
        ("a: b: c\n", 1, "mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: *nowhere\n", 1, "undefined alias"),
        ("a: 1\nb: \x01\n", 2, "unacceptable character"),
        ("a: 1\nb: !ruby/object {}\n", 2, "a tag"),
        ("a: !!python/name:os.system x\n", 1, "a tag"),
        ("a: 1\nb: !!bool perhaps\n", 2, "a value that can't be read as bool"),
        ("a: 1\nb: !!int secret\n", 2, "a value that can't be read as int$"),
        ("a: 1\nb: " + "9" * 5000, 2, "a value that can't be read as int"),
        ("? [a, b]\n: 1\n", 1, "a key that isn't text"),
        ("a: &a [*a]\n", 1, "without end"),
        ("a:\n  <<: 5\n", 2, "<<"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        ("a: 1".encode("utf-16"), 1, "not UTF-8"),
        ('a: 1\nb: "\\ud83d"\n', 2, "half of a character"),
        ('a: 1\n"\\ude00": 1\n', 2, "half of a character"),
    ],
)
def test_text_that_is_not_yaml_has_line_and_reason(
    read: Any, text: str | bytes, line: int, what: str
) -> None:
    with pytest.raises(BadYaml, match=what) as caught:
        read(text)
    assert caught.value.line == line
    assert caught.value.remedy


def test_aliases_within_aliases_end(read: Any) -> None:
    levels = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    with pytest.raises(BadYaml, match="without end"):
        read(levels)


def test_a_long_text_counts_each_time_that_an_alias_repeats_it(read: Any) -> None:
    aliases = ", ".join(["*a"] * 1000)
    assert read(f"a: &a {'x' * 1000}\nb: [{aliases}]\n").value["b"][-1] == "x" * 1000
    with pytest.raises(BadYaml, match="without end"):
        read(f"a: &a {'x' * 100_000}\nb: [{aliases}]\n")


@pytest.mark.parametrize("repeated", ["[*a{0}, *a{0}]", "[*a{0}, {{<<: *a{0}}}]"])
def test_merges_that_double_end_as_aliases_do(read: Any, repeated: str) -> None:
    levels = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n}\n  <<: {repeated.format(n - 1)}\n" for n in range(1, 60)
    )
    with pytest.raises(BadYaml, match="without end"):
        read(levels)
    with pytest.raises(BadYaml, match="without end"):
        read("a: &a\n  <<: *a\n")


def test_very_deep_nesting_is_an_error(read: Any) -> None:
    with pytest.raises(BadYaml):
        read("[" * 3000 + "]" * 3000)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        read_yaml(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (HEAD + "    - name: b\n", "but found '-'"),
        (HEAD + "   secret: s\n", "but found '<block mapping start>'"),
        (HEAD + "      secret: s\n", "mapping values are not allowed"),
        (HEAD + '    secret: "s\n    receivers: {a: any}\n', "a quoted scalar"),
        (HEAD + "    secret: 's\n", "a quoted scalar"),
        (HEAD + "    secret: @abc\n", "character '@'"),
        (HEAD + "    secret: %abc\n", "character '%'"),
        (HEAD + "    secret: *abc\n", "undefined alias"),
        (HEAD + "    secret\n    receivers: {a: any}\n", "could not find expected ':'"),
        (HEAD + "    receivers: {a: any\n    hold: 1m\n", "a flow mapping"),
        (HEAD + "    only: {$.items[*].id: 7}\n", "a JSONPath with [ that isn't quoted"),
        (HEAD + "    only: {$['event']['type']: a}\n", "a JSONPath with ["),
        (HEAD + "    only: {a: b, $.items[0].id: 7}\n", "a JSONPath with ["),
        (HEAD + "    hide: [$.a, $.items[*].id]\n", "a JSONPath with ["),
        (HEAD + "    starts: [{workflow: a, input: {b: $.c[*].d}}]\n", "a JSONPath with ["),
        (HEAD + "    secret: a: b\n", "mapping values are not allowed"),
    ],
)
def test_a_mistake_has_its_own_line_and_a_remedy(text: str, what: str) -> None:
    with pytest.raises(BadYaml) as caught:
        parse_yaml(text)
    assert (caught.value.line, what in str(caught.value)) == (4, True), str(caught.value)
    assert "in quotes" in caught.value.remedy


@pytest.mark.parametrize(
    "written",
    [
        "@sEcReT",
        "*sEcReT",
        "*x'sEcReT",
        "*x'y\"sEcReT",
        "!sEcReT!x",
        "!sEcReT",
        "!!sEcReT x",
        "{!sEcReT : x}",
        '"sEcReT',
        "a: sEcReT",
        "{sEcReT",
    ],
)
def test_no_value_is_repeated(written: str) -> None:
    with pytest.raises(BadYaml) as caught:
        parse_yaml(f"{HEAD}    secret: {written}\n")
    assert "sEcReT" not in str(caught.value) + caught.value.remedy
