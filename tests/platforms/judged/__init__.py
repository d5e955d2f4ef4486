"""Verdicts of the platforms' own libraries in other languages, recorded: one JSON file for each
platform.

``make judges`` asks the libraries that ``npm/judges.mjs`` and ``go/main.go`` know, and writes what
they think: of a delivery that they sign, if they can, of the platform's sample that the bridge
signs, as `webhook-bridge send --sample` does, and of the first with one bit changed in every place
that may matter.

Other libraries are asked by hand: ``python -m tests.platforms.judged PLATFORM "NAME VERSION, what
of it was asked" -- COMMAND``. COMMAND reads a JSON list of deliveries (`secret`, `now`, `method`,
`url`, `headers`, `body`) on its standard input, and prints a JSON list of true and false.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platforms import PLATFORMS
from platforms.base import Platform
from platforms.bodies import BadBody
from platforms.guide import samples
from platforms.http import Request
from platforms.verifiers import CannotSign, Credentials, Draft, Refused
from tests.support.relay import NOW
from tests.support.vendors import Pages

FOLDER = Path(__file__).parent
URL = "https://relay.example.com/webhook/judge?tenant=a%20b&x=1"
_STANDARD = ("clerk", "gitlab", "mcp-events", "openai", "replicate", "resend", "standard-webhooks")


def _secrets(hexadecimal: str, base64: str) -> dict[str, str]:
    """Secrets of the platforms whose secrets have a form."""
    return {
        "airtable": base64,
        **dict.fromkeys(("adyen", "contentful"), hexadecimal * 4),
        **dict.fromkeys(_STANDARD, f"whsec_{base64}"),
        "supabase": f"v1,whsec_{base64}",
    }


_SECRETS = _secrets("0123456789abcdef", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
_OTHER_SECRETS = _secrets("fedcba9876543210", "QUJDREVGMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk=")
_VALUE = re.compile("[A-Za-z0-9+/]{10,}")
"""What a header is about: a signature, a time, an id."""


@dataclass(frozen=True)
class Delivery:
    """A delivery, and the secret with which it is judged."""

    secret: str
    now: float
    method: str
    url: str
    headers: dict[str, str]
    body: str

    def made_into(self, other: Delivery) -> dict[str, Any]:
        """The change by which `but` makes this the other delivery."""
        change = {
            name: value for name, value in vars(other).items() if value != getattr(self, name)
        }
        if "headers" in change:
            names = self.headers.keys() | other.headers.keys()
            both = {name: other.headers.get(name) for name in sorted(names)}
            change["headers"] = {
                name: value for name, value in both.items() if value != self.headers.get(name)
            }
        return change

    def but(self, change: dict[str, Any]) -> Delivery:
        """The same with other parts; of its headers only those that are named, without those that
        are null."""
        headers = {
            name: value
            for name, value in (self.headers | change.get("headers", {})).items()
            if value is not None
        }
        return Delivery(**{**vars(self), **change, "headers": headers})


@dataclass(frozen=True)
class Verdict:
    """What a library thinks of one delivery."""

    delivery: Delivery
    accepts: bool
    ours: bool
    """What the bridge should think. It differs from the library's word only where the record says
    why."""


@dataclass(frozen=True)
class Record:
    """One library's verdicts."""

    platform: Platform
    judge: str
    """The library's name and version, and what of it was asked."""
    sent: Delivery
    """As the library signed it; where it can't, as the bridge did, or else a key of the tests."""
    verdicts: list[Verdict]
    pages: dict[str, str]
    """What is at the vendor's URLs."""


def records() -> Iterator[Record]:
    """Everything that was recorded."""
    for file in sorted(FOLDER.glob("*.json")):
        written = json.loads(file.read_text(encoding="utf-8"))
        sent = Delivery(**written["sent"])
        verdicts = [
            Verdict(sent.but(one["change"]), one["accepts"], one.get("ours", one["accepts"]))
            for one in written["verdicts"]
        ]
        yield Record(
            PLATFORMS[file.stem], written["judge"], sent, verdicts, written.get("pages", {})
        )


def unsigned_sample(platform: Platform) -> Delivery:
    """The platform's first sample, without a signature."""
    sample = next(iter(samples(platform.name).values()))
    secret = _SECRETS.get(platform.name, "0123456789abcdef0123456789abcdef-secret")
    # Some libraries sign what they read from JSON, written again; so it has no spaces, as platforms
    # send it.
    is_json = sample.content_type == "application/json"
    body = (
        json.dumps(json.loads(sample.body), separators=(",", ":"))
        if is_json
        else sample.body.decode()
    )
    return Delivery(
        secret, NOW, "POST", URL, {"Content-Type": sample.content_type, **sample.headers}, body
    )


def signed_sample(platform: Platform) -> Delivery:
    """The platform's first sample, signed by the bridge. Raises CannotSign."""
    assert platform.verifier is not None
    sample = unsigned_sample(platform)
    draft = Draft(sample.method, sample.url, sample.headers, sample.body.encode(), sample.now)
    draft = platform.verifier.sign(draft, Credentials((sample.secret,)))
    return Delivery(
        sample.secret, sample.now, draft.method, draft.url, draft.headers, draft.body.decode()
    )


def accepts(platform: Platform, given: Delivery, pages: Pages) -> bool:
    """The bridge's verdict. `pages`: what is at the vendor's URLs."""
    assert platform.verifier is not None
    credentials = Credentials((given.secret,), platform.tolerance, fetch=pages)
    headers = {name.lower(): value for name, value in given.headers.items()}
    query = given.url.partition("?")[2]
    request = Request(given.method, given.url, query, headers, given.body.encode(), None, given.now)
    try:
        platform.verifier.check(credentials)(request)
    except (Refused, BadBody):
        return False
    return True


def changes(platform: Platform, sent: Delivery) -> Iterator[dict[str, Any]]:
    """What may be changed of a delivery so that it isn't genuine any more: mostly, one bit."""
    yield {"body": sent.body + " "}
    for part in (1, 2, 3):
        yield {"body": _flipped(sent.body, len(sent.body) * part // 4)}
    yield {"secret": _OTHER_SECRETS.get(platform.name, "another-secret-0123456789")}
    if platform.verifier is not None and "url" in platform.verifier.covers:
        yield {"url": sent.url.replace("x=1", "x=0")}
    for name in sorted(sent.headers.keys() - unsigned_sample(platform).headers.keys()):
        value = sent.headers[name]
        yield {"headers": {name: None}}
        spans = [found.span() for found in _VALUE.finditer(value)] or [(0, len(value))]
        for start, end in spans:
            yield {"headers": {name: _flipped(value, (start + end) // 2)}}


def _flipped(text: str, position: int) -> str:
    """The text with the lowest bit of the character there (or of the next one that is ASCII)
    changed."""
    while not text[position].isascii():
        position += 1
    return text[:position] + chr(ord(text[position]) ^ 1) + text[position + 1 :]


def write(
    platform: Platform, judge: dict[str, Any], sent: Delivery, changed: list[dict[str, Any]]
) -> None:
    """Writes a judge's verdicts on the changed deliveries down. Where a judge says why it is
    `looser`, the bridge's verdict is added, if it is another."""
    verdicts = []
    for change, accepted in zip(changed, judge["accepts"], strict=True):
        verdict = {"change": change, "accepts": accepted}
        if "looser" in judge and accepted and not accepts(platform, sent.but(change), Pages({})):
            verdict |= {"ours": False, "why": judge["looser"]}
        verdicts.append(verdict)
    text = json.dumps(
        {"judge": judge["judge"], "sent": vars(sent), "verdicts": verdicts},
        indent=1,
        ensure_ascii=False,
    )
    FOLDER.joinpath(f"{platform.name}.json").write_text(text + "\n", encoding="utf-8")


def ask(command: list[str], question: Any) -> Any:
    """The answer of a command that reads and prints JSON."""
    written = json.dumps(question, default=vars)
    return json.loads(
        subprocess.run(command, input=written, text=True, check=True, stdout=subprocess.PIPE).stdout
    )


def ask_all(command: list[str]) -> None:
    """Asks every judge that a command knows for its verdicts, and writes them down."""
    signed = {
        name: sent and Delivery(**sent)
        for name, sent in ask(command, {"sign": _samples(command)}).items()
    }
    asked: dict[str, list[dict[str, Any]]] = {}
    for name, by_judge in signed.items():
        platform = PLATFORMS[name]
        try:
            ours = signed_sample(platform)
        except CannotSign:
            ours = by_judge
        sent = signed[name] = by_judge or ours
        genuine = [{}, sent.made_into(ours)] if ours != sent else [{}]
        asked[name] = [*genuine, *changes(platform, sent)]
    question = {
        name: [signed[name].but(change) for change in changed] for name, changed in asked.items()
    }
    for name, judge in ask(command, {"judge": question}).items():
        write(PLATFORMS[name], judge, signed[name], asked[name])


def _samples(command: list[str]) -> dict[str, Delivery]:
    return {name: unsigned_sample(PLATFORMS[name]) for name in ask(command, {})}


def main() -> None:
    """Asks a command for the verdicts of one judge, or of all that it knows."""
    match sys.argv[1:]:
        case ["--", *command]:
            ask_all(command)
        case [name, judge, "--", *command]:
            platform = PLATFORMS[name]
            sent = signed_sample(platform)
            changed: list[dict[str, Any]] = [{}, *changes(platform, sent)]
            answers = ask(command, [sent.but(change) for change in changed])
            write(platform, {"judge": judge, "accepts": answers}, sent, changed)
        case _:
            sys.exit(__doc__)
