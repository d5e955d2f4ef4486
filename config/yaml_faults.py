"""What a YAML parser complains about, in words that say what to do. No value is repeated: it may be a secret."""

from __future__ import annotations

import re
from typing import NamedTuple

_CONFLICT = re.compile(r"^<{7}(?: .*)?$", re.MULTILINE)
_OPEN_QUOTE = re.compile(r"""(?:^|[:\-,\[{]\s)\s*(?:"(?:[^"\\]|\\.)*|'(?:[^']|'')*)$""")
"""A line at whose end a text in quotes is still open."""
_PATH_IN_FLOW = re.compile(r"""[{\[,:]\s*\$[^\s,:'"{}\[\]]*\[""")
"""A text that begins with $ and isn't quoted, as far as its first bracket, which isn't part of it inside {…} or […]."""
_KEY = re.compile(r"^\s*(?:- +)?[^\s#'\"{\[][^#'\"{\[]*?:(?:\s|$)")


class Complaint(NamedTuple):
    """The parser's own words and lines (from 1)."""

    problem: str
    line: int
    context: str
    context_line: int
    """Where the part begins that couldn't be read to its end."""


class Fault(NamedTuple):
    """What is wrong with the text, in which line, and the remedy."""

    what: str
    line: int
    remedy: str


def explain(complaint: Complaint, text: str) -> Fault:
    """The fault that most likely caused the complaint."""
    problem, line = complaint.problem, complaint.line
    lines = text.splitlines()
    there = lines[line - 1] if line <= len(lines) else ""
    if conflict := _CONFLICT.search(text):
        return Fault(
            "an unresolved merge conflict",
            text.count("\n", 0, conflict.start()) + 1,
            "keep one of its two parts, and remove the lines <<<<<<<, ======= and >>>>>>>",
        )
    if r"'\t'" in problem:
        return Fault("a tab, where YAML takes only spaces", line, "indent with spaces")
    if found := re.search(r"character '([^'])' that cannot start", problem):
        return Fault(f"a value that begins with {found[1]}", line, f'put it in quotes: "{found[1]}…"')
    if "undefined alias" in problem:
        return Fault(
            "an undefined alias: a value that begins with * stands for another", line, 'put it in quotes: "*…"'
        )
    if "${" in there and "'{'" in problem:
        remedy = 'put it in quotes, as in {X-Api-Key: "${NAME}"}'
        return Fault("a reference that isn't quoted inside {…} or […]", line, remedy)
    if _PATH_IN_FLOW.search(there) and ("flow" in complaint.context or "alphabetic or numeric" in problem):
        remedy = """put it in quotes, as in {"$.items[0].id": 7}"""
        return Fault("a JSONPath with [ that isn't quoted inside {…} or […]", line, remedy)
    if "another document" in problem:
        return Fault("a second document in one file", line, "keep one document a file, without --- between")
    if "quoted scalar" in complaint.context:
        return _open_quote(complaint.context_line)
    if "'<scalar>'" in problem and (opened := _line_of_open_quote(lines[: line - 1])):
        return _open_quote(opened)
    if "simple key" in complaint.context and "':'" in problem:
        return Fault("a key without a colon", complaint.context_line, "write KEY: VALUE")
    if "flow" in complaint.context:
        what = "a { or [ that isn't closed, or a comma that is missing in it"
        return Fault(what, complaint.context_line, "close it with } or ], with a comma between its parts")
    if "<block end>" in problem:
        return _badly_indented(lines, line)
    if "mapping values are not allowed" in problem:
        return _unexpected_colon(lines, line)
    return Fault(problem, line, "fix the text at this line")


def _open_quote(line: int) -> Fault:
    return Fault("a quote that isn't closed", line, "close it with the same quote at the end of its text")


def _line_of_open_quote(lines: list[str]) -> int | None:
    return next((number for number, line in enumerate(lines, 1) if _OPEN_QUOTE.search(line)), None)


def _badly_indented(lines: list[str], line: int) -> Fault:
    depth = _depth(lines[line - 1])
    above = {_depth(one) for one in lines[: line - 1] if one.strip() and not one.lstrip().startswith("#")}
    above |= {_depth(one.replace("-", " ", 1)) for one in lines[: line - 1] if one.lstrip().startswith("- ")}
    if depth not in above:
        what = f"an indentation of {depth} space{'' if depth == 1 else 's'}, which no line above has"
        return Fault(what, line, "indent it exactly like the lines that it belongs with")
    what = "a line that doesn't belong where its indentation puts it"
    return Fault(
        what, line, "indent it like the lines that it belongs with: a list's items begin with a dash, keys don't"
    )


def _unexpected_colon(lines: list[str], line: int) -> Fault:
    above = next((number for number in range(line - 1, 0, -1) if lines[number - 1].strip()), None)
    if above is not None and _KEY.match(lines[line - 1]):
        depth = _depth(re.sub(r"^( *)- ", r"\1  ", lines[above - 1]))
        if _depth(lines[line - 1]) > depth:
            what = "a key that is indented deeper than the line above, which has a value already"
            return Fault(what, line, f"indent it by {depth} spaces, as line {above} is")
    remedy = "put a text that has a colon in quotes, or fix the indentation"
    return Fault("a colon where no key can be", line, remedy)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
