"""What is wrong with text that isn't YAML: the line where the mistake is, and a remedy for it."""

from __future__ import annotations

import pytest

from config.yaml_lines import BadYaml, parse_yaml

HEAD = "webhooks:\n  - name: a\n    platform: github\n"


@pytest.mark.parametrize(
    ("text", "line", "what", "remedy"),
    [
        (HEAD + "    - name: b\n", 4, "doesn't belong where its indentation puts it", "begin with a dash"),
        (HEAD + "   secret: s\n", 4, "doesn't belong where its indentation puts it", "begin with a dash"),
        (HEAD + "      secret: s\n", 4, "a colon where no key can be", "indent the key like those above it"),
        (HEAD + '    secret: "s\n    receivers: {a: any}\n', 4, "a quote that isn't closed", "close it"),
        (HEAD + "    secret: 's\n", 4, "a quote that isn't closed", "close it"),
        (HEAD + "    secret: @abc\n", 4, "a value that begins with @", 'put it in quotes: "@…"'),
        (HEAD + "    secret: `abc`\n", 4, "a value that begins with `", 'put it in quotes: "`…"'),
        (HEAD + "    secret: %abc\n", 4, "a value that begins with %", 'put it in quotes: "%…"'),
        (HEAD + "    secret: *abc\n", 4, "an undefined alias", 'put it in quotes: "*…"'),
        (HEAD + "    secret\n    receivers: {a: any}\n", 4, "a key without a colon", "write KEY: VALUE"),
        (HEAD + "    receivers: {a: any\n    hold: 1m\n", 4, "isn't closed", "close it with } or ]"),
        (
            HEAD + "    only: {$.items[*].id: 7}\n",
            4,
            "a JSONPath with [ that isn't quoted",
            'as in {"$.items[0].id": 7}',
        ),
        (HEAD + "    only: {$['event']['type']: a}\n", 4, "a JSONPath with [", "in quotes"),
        (HEAD + "    only: {a: b, $.items[0].id: 7}\n", 4, "a JSONPath with [", "in quotes"),
        (HEAD + "    hide: [$.a, $.items[*].id]\n", 4, "a JSONPath with [", "in quotes"),
        (
            HEAD + "    starts: [{workflow: a, input: {b: $.c[*].d}}]\n",
            4,
            "a JSONPath with [ that isn't quoted",
            "in q",
        ),
        (HEAD + "    secret: a: b\n", 4, "a colon where no key can be", "in quotes"),
        (
            HEAD + "<<<<<<< HEAD\n    secret: s\n=======\n    secret: t\n>>>>>>> other\n    hold: 1m\n",
            4,
            "an unresolved merge conflict",
            "keep one of its two parts, and remove the lines <<<<<<<, ======= and >>>>>>>",
        ),
        ("<<<<<<< HEAD\n" + HEAD + "=======\n" + HEAD + ">>>>>>> other\n", 1, "an unresolved merge conflict", "keep"),
    ],
)
def test_a_mistake_has_its_own_line_and_remedy(text: str, line: int, what: str, remedy: str) -> None:
    with pytest.raises(BadYaml) as caught:
        parse_yaml(text)
    assert (caught.value.line, what in str(caught.value), remedy in caught.value.remedy) == (line, True, True), (
        caught.value.line,
        str(caught.value),
        caught.value.remedy,
    )


@pytest.mark.parametrize("written", ["@sEcReT", "*sEcReT", '"sEcReT', "a: sEcReT", "{sEcReT"])
def test_no_value_is_repeated(written: str) -> None:
    with pytest.raises(BadYaml) as caught:
        parse_yaml(f"{HEAD}    secret: {written}\n")
    assert "sEcReT" not in str(caught.value) + caught.value.remedy
