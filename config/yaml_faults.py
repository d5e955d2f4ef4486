"""What a YAML parser complains about, in words that say what to do. No value is repeated: it may be a secret."""

from __future__ import annotations

import re
from typing import NamedTuple

_CONFLICT = re.compile(r"^<{7}(?: .*)?$", re.MULTILINE)
_PATH_IN_FLOW = re.compile(r"""[{\[,:]\s*\$[^\s,:'"{}\[\]]*\[""")
"""A text that begins with $ and isn't quoted, as far as its first bracket, which isn't part of it inside {…} or […]."""


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
        remedy = "close it with the same quote at the end of its text"
        return Fault("a quote that isn't closed", complaint.context_line, remedy)
    if "simple key" in complaint.context and "':'" in problem:
        return Fault("a key without a colon", complaint.context_line, "write KEY: VALUE")
    if "flow" in complaint.context:
        what = "a { or [ that isn't closed, or a comma that is missing in it"
        return Fault(what, complaint.context_line, "close it with } or ], with a comma between its parts")
    if "<block end>" in problem:
        what = "a line that doesn't belong where its indentation puts it"
        remedy = "indent it like the lines that it belongs with: a list's items begin with a dash, keys don't"
        return Fault(what, line, remedy)
    if "mapping values are not allowed" in problem:
        remedy = "put a text that has a colon in quotes, or indent the key like those above it"
        return Fault("a colon where no key can be", line, remedy)
    return Fault(problem, line, "fix the text at this line")
