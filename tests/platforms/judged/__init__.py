"""Verdicts of the platforms' own libraries in other languages, recorded once: one JSON file for each platform.

A library that the tests can't install is asked by hand: ``python -m tests.platforms.judged PLATFORM "NAME VERSION, what
of it was asked" -- COMMAND`` signs the platform's sample as `webhook-bridge send --sample` does, changes it in every
place that may matter, and writes what COMMAND thinks of each. COMMAND reads a JSON list of deliveries (`secret`, `now`,
`method`, `url`, `headers`, `body`) on its standard input, and prints a JSON list of true and false.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platforms import PLATFORMS
from platforms.base import Platform
from platforms.guide import samples
from platforms.verifiers import Credentials, Draft
from tests.platforms.judging import URL
from tests.relay.bridge import NOW

FOLDER = Path(__file__).parent
_SECRETS = {
    "airtable": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "contentful": "0123456789abcdef" * 4,
    **dict.fromkeys(("clerk", "openai", "replicate", "resend"), "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
}
_OTHER_SECRETS = {
    "airtable": "QUJDREVGMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk=",
    "contentful": "fedcba9876543210" * 4,
    **dict.fromkeys(("clerk", "openai", "replicate", "resend"), "whsec_QUJDREVGMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk="),
}


@dataclass(frozen=True)
class Delivery:
    """A delivery, and the secret with which it is judged."""

    secret: str
    now: float
    method: str
    url: str
    headers: dict[str, str]
    body: str

    def but(self, change: dict[str, Any]) -> Delivery:
        """The same with other parts; of its headers only those that are named, without those that are null."""
        headers = {
            name: value for name, value in (self.headers | change.get("headers", {})).items() if value is not None
        }
        return Delivery(**{**vars(self), **change, "headers": headers})


@dataclass(frozen=True)
class Verdict:
    """What a library thinks of one delivery."""

    delivery: Delivery
    accepts: bool
    ours: bool
    """What the bridge should think. It differs from the library's word only where the record says why."""


@dataclass(frozen=True)
class Record:
    """One library's verdicts."""

    platform: Platform
    judge: str
    """The library's name and version, and what of it was asked."""
    sent: Delivery
    """As the bridge signed it; where it can't, as a key of the tests did."""
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
        yield Record(PLATFORMS[file.stem], written["judge"], sent, verdicts, written.get("pages", {}))


def signed_sample(platform: Platform) -> Delivery:
    """The platform's first sample, signed by the bridge."""
    assert platform.verifier is not None
    sample = next(iter(samples(platform.name).values()))
    secret = _SECRETS.get(platform.name, "0123456789abcdef0123456789abcdef-secret")
    # Some libraries sign what they read from JSON, written again; so it has no spaces, as platforms send it.
    is_json = sample.content_type == "application/json"
    body = json.dumps(json.loads(sample.body), separators=(",", ":")).encode() if is_json else sample.body
    unsigned = Draft("POST", URL, {"Content-Type": sample.content_type, **sample.headers}, body, NOW)
    draft = platform.verifier.sign(unsigned, Credentials((secret,)))
    return Delivery(secret, NOW, draft.method, draft.url, draft.headers, draft.body.decode())


def changes(platform: Platform, sent: Delivery) -> Iterator[dict[str, Any]]:
    """What may be changed of a delivery so that it isn't genuine any more."""
    yield {"body": sent.body + " "}
    yield {"body": sent.body.replace("1", "2", 1)}
    yield {"secret": _OTHER_SECRETS.get(platform.name, "another-secret-0123456789")}
    if platform.verifier is not None and "url" in platform.verifier.covers:
        yield {"url": sent.url.replace("x=1", "x=2")}
    sample = next(iter(samples(platform.name).values()))
    for name in sorted(sent.headers.keys() - {"Content-Type", *sample.headers}):
        value = sent.headers[name]
        yield {"headers": {name: None}}
        for position in (len(value) * 2 // 3, len(value) - 3):
            other = "1" if value[position] != "1" else "2"
            yield {"headers": {name: value[:position] + other + value[position + 1 :]}}


def main() -> None:
    """Asks a command for its verdicts, and writes them down."""
    name, judge, _, *command = sys.argv[1:]
    platform = PLATFORMS[name]
    sent = signed_sample(platform)
    changed: list[dict[str, Any]] = [{}, *changes(platform, sent)]
    question = json.dumps([vars(sent.but(change)) for change in changed])
    answers = json.loads(subprocess.run(command, input=question, text=True, check=True, stdout=subprocess.PIPE).stdout)
    verdicts = [{"change": change, "accepts": accepts} for change, accepts in zip(changed, answers, strict=True)]
    text = json.dumps({"judge": judge, "sent": vars(sent), "verdicts": verdicts}, indent=1, ensure_ascii=False)
    FOLDER.joinpath(f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(name, answers)
