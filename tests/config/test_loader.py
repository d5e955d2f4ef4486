"""Loading definitions: what is read, and everything that is wrong at once, with file, line and
remedy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.webhooks import DefinitionsError, load_definitions
from platforms import PLATFORMS
from tests.config.loading import ENVIRONMENT, GOOD, Load, Problems
from tests.config.loading import load as load
from tests.config.loading import problems as problems

# --- what is read ---


def test_references_are_replaced(load: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    definitions = load(
        "webhooks:\n- {name: a, headers: {A: 'x ${SECRET} y', B: '${file:key}', C: '$${SECRET}'}, receivers: {w: any}}"
    )
    (webhook,) = definitions.webhooks
    assert webhook.headers is not None
    assert {name: value.get_secret_value() for name, (value,) in webhook.headers.items()} == {
        "A": f"x {ENVIRONMENT['SECRET']} y",
        "B": "from a file",
        "C": "${SECRET}",
    }
    assert tmp_path / "key" in definitions.sources


def test_a_file_reference_is_relative_to_the_yaml_and_keeps_inner_lines(
    load: Load, tmp_path: Path
) -> None:
    (tmp_path / "pem").write_bytes(b"\xef\xbb\xbfline 1\r\nline 2\r\n")
    (webhook,) = load(
        "webhooks:\n- {name: a, platform: github, secret: '${file:pem}', receivers: {w: 1}}"
    ).webhooks
    assert webhook.secret is not None
    assert webhook.secret[0].get_secret_value() == "line 1\r\nline 2"


def test_webhooks_are_found_by_name(load: Load) -> None:
    definitions = load("webhooks:\n- {name: a, id: x1, verifier: none, receivers: {w: 1}}")
    assert list(definitions.by_name) == ["a"]


def test_a_folder_is_its_yaml_files_merged_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text(GOOD.replace("deploys", name))
    (tmp_path / ".hidden.yaml").write_text("not: read")
    (tmp_path / "notes.txt").write_text("not: read")
    (tmp_path / "sub.yaml").mkdir()
    definitions = load_definitions(tmp_path, PLATFORMS, ENVIRONMENT)
    assert [webhook.name for webhook in definitions.webhooks] == ["a", "b"]
    assert [*definitions.sources] == [tmp_path, tmp_path / "a.yaml", tmp_path / "b.yaml"]


@pytest.mark.parametrize("name", ["b.yml", "b.YAML"])
def test_a_file_with_a_similar_ending_is_a_warning(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / name).write_text(GOOD.replace("deploys", "b"))
    definitions = load_definitions(tmp_path, PLATFORMS, ENVIRONMENT)
    assert [webhook.name for webhook in definitions.webhooks] == ["deploys"]
    assert [str(warning) for warning in definitions.warnings] == [
        f"{tmp_path / name}:1: webhooks: warning: not read: its name doesn't end in .yaml; "
        "rename it to b.yaml, or move it elsewhere"
    ]


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: files are links through a hidden folder."""
    data = tmp_path / "..data"
    data.mkdir()
    (data / "a.yaml").write_text(GOOD)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "a.yaml").symlink_to(data / "a.yaml")
    (tmp_path / "link").symlink_to(mounted)
    assert len(load_definitions(tmp_path / "link", PLATFORMS, ENVIRONMENT).webhooks) == 1


def test_the_workers_definitions_need_no_platforms(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(GOOD.replace("github", "anything"))
    assert load_definitions(file, None, ENVIRONMENT).webhooks[0].platform == "anything"
    program = "import sys, config.webhooks; print('platforms' in sys.modules)"
    assert (
        subprocess.check_output([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
        == b"False\n"
    )


def test_dotenv_gives_names_that_the_environment_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KNOWN", "of the environment")
    monkeypatch.delenv("NEW", raising=False)
    Path("a.yaml").write_text(
        "webhooks:\n- {name: a, headers: {A: '${KNOWN}', B: '${NEW}'}, receivers: {w: 1}}",
        encoding="utf-8",
    )
    Path(".env").write_text("KNOWN=of the file\nNEW=of the file\n", encoding="utf-8")
    definitions = load_definitions(Path("a.yaml"), PLATFORMS)
    (webhook,) = definitions.webhooks
    assert webhook.headers is not None
    assert [value.get_secret_value() for (value,) in webhook.headers.values()] == [
        "of the environment",
        "of the file",
    ]
    assert Path(".env") in definitions.sources


@pytest.mark.parametrize("text", ["webhooks: []\n", "webhooks:\n  # all of them commented out\n"])
def test_an_empty_list_is_allowed_with_a_warning(load: Load, text: str) -> None:
    definitions = load(text)
    assert definitions.webhooks == ()
    assert "the list is empty" in str(definitions.warnings[0])


def test_yaml_from_windows_is_read(load: Load) -> None:
    assert len(load(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()).webhooks) == 1


def test_anchors_and_merges_are_understood(load: Load) -> None:
    definitions = load(
        "webhooks:\n- &base\n  name: a\n  verifier: none\n  receivers: {w: any}\n- <<: *base\n  name: b\n  hold: 1h\n"
    )
    assert [(webhook.name, webhook.hold) for webhook in definitions.webhooks] == [
        ("a", 600),
        ("b", 3600),
    ]


# --- what is wrong: one file ---


def test_everything_wrong_is_said_at_once_with_the_line_of_its_key(problems: Problems) -> None:
    found = problems(
        """\
webhooks:
  - name: deploys
    platform: githib
    secrt: ${SECRET}
    secret: ${NOT_SET}
    hold: 10
  - name: orders
    headers:
      X-Api-Key: 123
    starts:
      - workflow: on_order
        when:
          "$[": 1
          $.ok: 1
  - name: orders
    platform: slack
    signature:
      secret: ${SECRET}
      header: X-Sig
      signed: "{timestamp}.{body}"
    receivers:
      flow: some
  - 5
extra: 1
"""
    )
    starts = [re.sub(r"; .*", "", problem) for problem in found]
    assert starts == [
        "2: webhook deploys: neither `receivers` nor `starts` nor `messages`: its events would reach nothing",
        "3: webhook deploys: platform: unknown platform 'githib'",
        "4: webhook deploys: secrt: unknown key",
        "5: webhook deploys: secret: the environment variable NOT_SET is not set",
        "6: webhook deploys: hold: 10 is not a duration",
        "9: webhook orders: headers.X-Api-Key: a number or boolean, not text",
        "13: webhook orders: starts[0].when.$[: '$[' is not a JSONPath: Parse error near the end of string!",
        "15: webhook orders: name: the name orders is taken",
        "20: webhook orders: signature.signed: {timestamp} is signed, but no key says where it is",
        "22: webhook orders: receivers.flow: not versions of a workflow",
        "23: webhooks[3]: not a webhook",
        "24: extra: unknown key",
    ]
    assert all(problem.partition("; ")[2].strip() for problem in found), "each has a remedy"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: webhooks: the file is empty"),
        ("# nothing\n", "1: webhooks: the file is empty"),
        ("- name: a\n", "1: webhooks: no list of webhooks"),
        ("hooks: []\n", "1: webhooks: missing; start the file with `webhooks:`"),
        (
            "# c\nWebhooks:\n- name: a\n",
            "2: Webhooks: unknown key; only `webhooks` is allowed at the top level",
        ),
        ("other: []\n", "1: webhooks: missing"),
        (
            "webhooks:\n- name:a\n  platform:github\n",
            "2: webhooks[0]: not a webhook; put a space after each colon",
        ),
        ("\nwebhooks: {a: 1}\n", "2: webhooks: not a list"),
        (
            "webhooks:\n\t- name: a\n",
            "2: YAML: while scanning for the next token found character '\\t' that cannot start any token",
        ),
        (b"webhooks: \xff", "1: YAML: not UTF-8 text"),
        (
            "webhooks:\n- {name: a, headers: {A: ${SECRET}}}",
            "2: YAML: a reference that isn't quoted inside {…} or […]",
        ),
        (
            "webhooks:\n- name: a\n  name: b\n  verifier: none\n  receivers: {w: 1}",
            "3: webhooks[0].name: the key is already",
        ),
        (
            "webhooks:\n- receivers: {w: 1}\n  verifier: none",
            "2: webhooks[0]: name: missing; add name: ",
        ),
        (
            "webhooks:\n- name: a\n  receivers:\n  verifier: none",
            "3: webhook a: receivers: no value; give it one",
        ),
        (
            "webhooks:\n- {name: a, verifier: off, receivers: {w: 1}}",
            "2: webhook a: verifier: Input should be 'none'; ",
        ),
        (
            "webhooks:\n- {name: a, headers: {}, receivers: {w: 1}}",
            "2: webhook a: headers: empty; write {X-Api-Key: ",
        ),
        (
            'webhooks:\n- {name: a, headers: {"X-Key:": "b"}, receivers: {w: 1}}',
            "2: webhook a: headers.X-Key:: has characters that it can't have; write {X-Api-Key: ",
        ),
        (
            "webhooks:\n- {name: 5, verifier: none, receivers: {w: 1}}",
            "2: webhooks[0]: name: Input should be a valid string; write github-depl",
        ),
        (
            "webhooks:\n- {name: a, signature: {secret: '${SECRET}', header: X, algorithm: md5}, receivers: {w: 1}}",
            "2: webhook a: signature.algorithm: Input should be 'sha1', 'sha256' or 'sha512'; ",
        ),
        (
            "webhooks:\n- name: a\n  verifier: none\n  receivers: {w: 1}\n"
            "  only:\n    $.a:\n      $gt: 1\n      $lte1: 2",
            "8: webhook a: only.$.a.$lte1: unknown operator $lte1; did you mean $lte? known are $eq, ",
        ),
        (
            "webhooks:\n- name: a\n  verifier: none\n"
            "  starts:\n  - workflow: w\n    when:\n      $.a: {$not: {$regex: (}}",
            "7: webhook a: starts[0].when.$.a.$not.$regex: not a pattern: missing ): (; fix it",
        ),
        (
            "webhooks:\n- name: a\n  verifier: none\n"
            "  starts:\n  - workflow: w\n    input:\n      a:\n      - $.b\n      - $5",
            "9: webhook a: starts[0].input.a[1]: '$5' is no JSONPath, which begins with $.; write $$5 for the text",
        ),
        (
            "webhooks:\n- name: a\n  verifier: none\n"
            "  starts:\n  - workflow: w\n    input:\n      a: ${workflow.input.b}",
            "7: webhook a: starts[0].input.a: a reference where no secret belongs; write the value itself",
        ),
        (
            "webhooks:\n- name: a\n  verifier: none\n  starts:\n  - workflow: w\n    input: $.data",
            "6: webhook a: starts[0].input: not a mapping; write one such as {order: $.data.id, source: web}",
        ),
        (
            "webhooks:\n- name: a\n  verifier: none\n  receivers: {w: 1}\n  only:\n    $.a: {$gt: 5, $lt: 3}",
            "6: webhook a: only.$.a: this can never hold, so every delivery would be filtered: nothing lies between "
            "$gt and $lt; correct it",
        ),
        (
            "webhooks:\n- name: a\n  verifier: none\n  receivers: {w: 1}\n  only:\n    $.a: {$in: []}",
            "6: webhook a: only.$.a: this can never hold, so every delivery would be filtered: no value is in an empty",
        ),
        (
            "webhooks:\n- name: a\n  verifier: none\n  receivers: {w: 1}\n  only:\n    $.a:",
            "6: webhook a: only.$.a: no value; give it one",
        ),
        (
            "webhooks:\n- name: a\n  verifier: none\n  receivers: {w: 1}\n  respond:\n    wait: 20s\n"
            "    output: $.a\n    body: thanks",
            "8: webhook a: respond.body: a body beside `wait`, which answers with the workflow's output; remove one",
        ),
    ],
)
def test_a_wrong_file_is_told_by_line_and_remedy(
    problems: Problems, text: str | bytes, problem: str
) -> None:
    found = problems(text)
    assert any(line.startswith(problem) for line in found), found


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("starts: {workflow: w}", "starts: not a list; write [{work"),
        ("receivers: [w]", "receivers: not keys with values; write {deploy: any}"),
        ("starts: [build]", "starts[0]: not keys with values; write [{workflow: on_push}]"),
        ("receivers: {1: any}", "receivers[1]: Input should be a valid string"),
        ("split: yes", "split: neither true nor"),
        (
            "starts: [{workflow: w, version: x}]",
            "starts[0].version: Input should be a valid integer; write 3",
        ),
        (
            "starts: [{workflow: w, version: 0}]",
            "starts[0].version: Input should be greater than or equal to 1; write 3",
        ),
        (
            "starts: [{workflow: w, wehn: {}}]",
            "starts[0].wehn: unknown key; did you mean when? known are workflow, version, when",
        ),
        ("max_body: big", "max_body: 'big' is not a"),
        (
            "allow_ips: [10.0.0.1/8]",
            "allow_ips[0]: 10.0.0.1/8 has host bits set; write a network such as",
        ),
        (
            "allow_ips: ['::ffff:192.0.2.0/120']",
            "allow_ips[0]: IPv4 written as IPv6, which no address matches; write 192.0.2.0/24",
        ),
        ("only: {}", "only: empty; write {$.type: "),
        ("allow_ips: []", "allow_ips: empty; write [192.0.2.0/24]"),
        (
            "only: {$.a: {b: {$gt: 1}}}",
            "only.$.a: the operator $gt deep inside an object; operators belong directly below a path",
        ),
        (
            "respond: {status: 404}",
            "respond.status: Input should be less than or equal to 299; write 202",
        ),
        (
            "respond: {status: 204, body: x}",
            "respond.body: a body, which status 204 can't have; remove it",
        ),
        (
            'respond: {content_type: "text/a;\\nX-A: 1"}',
            "respond.content_type: 'text/a;\\nX-A: 1' is not a media type; write one such as text/plain",
        ),
        (
            "respond: {content_type: text}",
            "respond.content_type: 'text' is not a media type; write one such as text/plain",
        ),
        (
            "respond: {body: x, content_type: application/json}",
            "respond.body: the body is not JSON, as content_type says: ",
        ),
        ("respond: {body: 5}", "respond.body: neither text nor a mapping or list; write thanks"),
        (
            "respond: {wait: 61s, output: $.a}",
            "respond.wait: longer than 1m; write a shorter time, such as 20s",
        ),
        (
            "respond: {wait: 0s, output: $.a}",
            "respond.wait: no time at all; write one such as 20s, or remove wait and output",
        ),
        (
            "respond: {wait: 20, output: $.a}",
            "respond.wait: 20 is not a duration; write a number with its unit",
        ),
        ("respond: {wait: 20s}", "respond.wait: wait without `output`; add output: $.reply"),
        ("respond: {output: $.a}", "respond.output: output without `wait`; add wait: 20s"),
        ("respond: {wait: 20s, output: '$['}", "respond.output: "),
        (
            "respond: {status: 204, wait: 20s, output: $.a}",
            "respond.wait: a body, which status 204 can't have; remove it",
        ),
        (
            "split: true, respond: {wait: 1s, output: $.a}",
            "respond: `wait` with `split`: each of a delivery's events has workflows of its own",
        ),
    ],
)
def test_a_wrong_key_of_a_webhook_is_told_with_its_remedy(
    problems: Problems, keys: str, problem: str
) -> None:
    goes = "" if "starts" in keys or "receivers" in keys else ", receivers: {w: 1}"
    found = problems(f"webhooks:\n- {{name: a, verifier: none, {keys}{goes}}}")
    assert found[0].startswith(f"2: webhook a: {problem}")


# --- uniqueness ---


def test_a_name_or_url_is_there_once_across_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "webhooks:\n- {name: x, id: one, verifier: none, receivers: {w: 1}}\n"
    )
    (tmp_path / "b.yaml").write_text(
        "webhooks:\n- {name: x, verifier: none, hold: broken}\n- {name: one, verifier: none, receivers: {w: 1}}\n"
    )
    with pytest.raises(DefinitionsError) as caught:
        load_definitions(tmp_path, PLATFORMS, {})
    text = str(caught.value)
    assert (
        f"b.yaml:2: webhook x: name: the name x is taken; choose another: {tmp_path}/a.yaml:2 has it already"
        in text
    )
    assert "b.yaml:3: webhook one: name: the URL /webhook/one is taken" in text
    assert [*caught.value.sources] == [tmp_path, tmp_path / "a.yaml", tmp_path / "b.yaml"]


def test_the_same_name_twice_is_one_problem(problems: Problems) -> None:
    found = problems(
        "webhooks:\n- {name: a, verifier: none, receivers: {w: 1}}\n- {name: a, verifier: none, receivers: {w: 1}}"
    )
    assert len(found) == 1


# --- files that aren't there ---


def test_a_missing_file_and_an_empty_folder_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        DefinitionsError, match=r"none\.yaml:1: webhooks: no such file or folder; create it, as"
    ):
        load_definitions(tmp_path / "none.yaml", PLATFORMS, {})
    with pytest.raises(DefinitionsError, match=r"the folder has no \*\.yaml file; make one"):
        load_definitions(tmp_path, PLATFORMS, {})


def test_a_link_to_nothing_in_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").symlink_to(tmp_path / "gone")
    with pytest.raises(
        DefinitionsError, match=r"b\.yaml:1: YAML: can't be read: No such file or directory"
    ):
        load_definitions(tmp_path, PLATFORMS, ENVIRONMENT)


def test_a_file_that_may_not_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(GOOD)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        DefinitionsError, match=r"a\.yaml:1: YAML: can't be read: Permission denied; make the file"
    ):
        load_definitions(file, PLATFORMS, ENVIRONMENT)


def test_what_once_unless_and_pace_need_is_said(problems: Problems) -> None:
    found = problems(
        """\
webhooks:
  - name: tickets
    platform: github
    secret: ${SECRET}
    pace: fast
    starts:
      - workflow: ticket_flow
        once: {while: running}
      - workflow: ticket_flow
        once: {key: "$.[", while: always}
        unless: busy
      - workflow: ticket_flow
        unless: taken
        once: {kez: $.id, key: $.id}
"""
    )
    expected = [
        "5: webhook tickets: pace: 'fast' is not a rate; write a number of times in a second, minute or hour, such as",
        "6: webhook tickets: starts: `unless: taken` without `receivers`",
        "8: webhook tickets: starts[0].once.key: missing; add key: $.ticket.id",
        "10: webhook tickets: starts[1].once.key: ",
        "10: webhook tickets: starts[1].once.while: Input should be 'running' or 'kept'; ",
        "11: webhook tickets: starts[1].unless: Input should be 'taken'; ",
        "14: webhook tickets: starts[2].once.kez: unknown key; did you mean key?",
    ]
    for beginning in expected:
        assert any(line.startswith(beginning) for line in found), (beginning, found)


def test_a_start_that_can_never_be_made_is_an_error(problems: Problems) -> None:
    found = problems(
        "webhooks:\n- name: a\n  verifier: none\n  starts:\n  - workflow: w\n    when:\n"
        "      $.a: {$gt: 5, $lt: 3}\n      $.b: {$gt: 5}\n  - workflow: v\n    when: {$.c: null}\n"
    )
    never = "this can never hold, so nothing would be started"
    assert found == [
        f"7: webhook a: starts[0].when.$.a: {never}: nothing lies between $gt and $lt; correct it, or remove it",
        f"10: webhook a: starts[1].when.$.c: {never}: null equals nothing; correct it, or remove it",
    ]


@pytest.mark.parametrize(
    ("webhook", "why"),
    [
        ("platform: gitlab, secret: '${SECRET}'", "gitlab sends a token"),
        ("platform: okta, secret: '${SECRET}'", "okta sends a token"),
        ("platform: microsoft-teams, secret: '${SECRET}'", "Authorization"),
        (
            "platform: github, secret: '${SECRET}', headers: {X-A: '${SECRET}'}",
            "the values of `headers` are secrets",
        ),
        ("headers: {X-A: '${SECRET}'}", "the values of `headers` are secrets"),
        ("signature: {secret: '${SECRET}', header: authorization}", "Authorization"),
        ("verifier: none", "nothing is verified"),
        ("challenge: challenge", "no signature proves"),
    ],
)
def test_what_is_refused_is_kept_only_where_signatures_prove(
    webhook: str, why: str, problems: Problems
) -> None:
    found = problems(
        f"webhooks:\n- {{name: a, {webhook}, receivers: {{w: any}},\n   keep_rejected: 9}}"
    )
    assert [
        problem
        for problem in found
        if problem.startswith("3: webhook a: keep_rejected: ") and why in problem
    ]


def test_the_number_of_refused_deliveries_to_keep_is_bounded(problems: Problems) -> None:
    for number in ("0", "1001", "all", "true"):
        (problem,) = problems(f"{GOOD}    keep_rejected: {number}\n")
        assert problem.startswith("6: webhook deploys: keep_rejected: ")
