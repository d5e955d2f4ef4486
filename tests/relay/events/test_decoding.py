"""Parts of a payload that are JSON, Base64 or gzip inside a text."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.webhooks import Webhook
from platforms import PLATFORMS
from platforms.bodies import MAX_DEPTH, MAX_VALUES, Body
from relay.events.decoding import Decoder, decoding_of
from store.hiding import masked
from tests.platforms.test_bodies import JSON_VALUES
from tests.support.relay import MakeRelay

MOST = 1_000_000


def based(value: bytes | str) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def packed(value: str) -> str:
    return based(gzip.compress(value.encode(), mtime=0))


def decode(value: Any, decoding: Mapping[str, Any], most: int = MOST) -> Any:
    return Decoder(decoding, most).decode(Body(value)).value


@pytest.mark.parametrize(
    ("encoding", "text", "decoded"),
    [
        ("json", '{"b": [1]}', {"b": [1]}),
        ("json", " [1, 2]\n", [1, 2]),
        ("base64", based("hé {1}"), "hé {1}"),
        ("base64", based('{"b": 1}'), '{"b": 1}'),
        ("base64-json", based('{"b": 1}'), {"b": 1}),
        ("base64-json", based('{"b": 1}').rstrip("="), {"b": 1}),
        (
            "base64-json",
            base64.urlsafe_b64encode(b'{"b": "\xc3\xbf\xc3\xbf\xc3\xbf??>"}').decode(),
            {"b": "ÿÿÿ??>"},
        ),
        ("gzip", packed('{"b": 1}'), {"b": 1}),
        ("gzip", packed("some text"), "some text"),
        ("gzip", packed("5"), "5"),
    ],
)
def test_a_text_is_decoded(encoding: str, text: str, decoded: Any) -> None:
    before = {"a": text, "other": text}
    assert decode(before, {"$.a": encoding}) == {"a": decoded, "other": text}
    assert before["a"] == text, "the body itself stays as it is"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        *(
            ("json", text)
            for text in (
                "",
                "text",
                "5",
                "true",
                '"text"',
                "{",
                '{"a": NaN}',
                '{"a": 1} x',
                '{"a": "\\u0000"}',
            )
        ),
        *(
            ("base64", text)
            for text in ("a", "not base64!", based(b"\xff\xfe"), based("nul \0"), "QQ=Q", "=")
        ),
        *(
            ("base64-json", text)
            for text in (based("text"), based("5"), based(b"\xff"), '{"a": 1}')
        ),
        *(
            ("gzip", text)
            for text in (
                based("text"),
                based(gzip.compress(b"text", mtime=0)[:-3]),
                "H4sI",
                packed("x\0"),
            )
        ),
        ("gzip", based(gzip.compress(b"text", mtime=0) + b"more")),
        ("gzip", based(gzip.compress(b"\xff", mtime=0))),
        ("json", "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)),
        ("json", "[" * 100_000),
        ("json", f'{{"{"n" * 60_000}": 1}}'),
        ("json", "[" + "9" * 2000 + "]"),
        ("json", 5),
        ("json", None),
        ("json", {"b": 1}),
    ],
)
def test_what_cannot_be_decoded_stays_as_it_is(encoding: str, text: Any) -> None:
    value = {"a": text}
    assert decode(value, {"$.a": encoding}) is value


@given(JSON_VALUES.filter(lambda value: isinstance(value, (dict, list))))
def test_what_was_encoded_is_there_again(value: Any) -> None:
    text = json.dumps(value)
    texts = {"json": text, "base64-json": based(text), "gzip": packed(text)}
    assert decode(texts, {f"$['{one}']": one for one in texts}) == dict.fromkeys(texts, value)


@given(
    st.text() | st.binary().map(based), st.sampled_from(["json", "base64", "base64-json", "gzip"])
)
def test_any_text_at_all_is_decoded_or_stays(text: str, encoding: str) -> None:
    json.dumps(decode({"a": text}, {"$.a": encoding}))


def test_paths_select_several_texts_and_one_path_may_lead_into_what_another_has_decoded() -> None:
    value = {
        "records": [{"data": based('{"n": 1}')}, {"data": "text"}, {"data": based('{"n": 2}')}],
        "deep": '{"x": "[1]"}',
    }
    decoding = {
        "$.records[*].data": "base64-json",
        "$.deep": "json",
        "$.deep.x": "json",
        "$.records[-1].data.n": "json",
    }
    data = [{"n": 1}, "text", {"n": 2}]
    assert decode(value, decoding) == {
        "records": [{"data": one} for one in data],
        "deep": {"x": [1]},
    }
    assert value["records"][0]["data"] == based('{"n": 1}')  # type: ignore[index]


def test_a_body_that_is_no_object_is_at_request() -> None:
    assert decode(['{"a": 1}', "x"], {"$.request[*]": "json"}) == [{"a": 1}, "x"]
    assert decode("e30=", {"$.request": "base64-json"}) == {"request": {}}


def test_depth_counts_from_the_payload() -> None:
    def nested(depth: int) -> str:
        return "[" * depth + "]" * depth

    assert decode({"a": nested(MAX_DEPTH - 1)}, {"$.a": "json"})["a"][0] is not None
    value = {"a": {"b": nested(MAX_DEPTH - 1)}}
    assert decode(value, {"$.a.b": "json"}) is value


def test_all_that_is_decoded_together_is_bounded_in_bytes() -> None:
    text = json.dumps(["x" * 90])
    value = {"a": [packed(text)] * 20}
    found = Decoder({"$.a[*]": "gzip"}, 1000).decode(Body(value)).value["a"]
    assert [one for one in found if isinstance(one, list)] == [["x" * 90]] * 10


def test_all_that_is_decoded_together_is_bounded_in_values_which_take_the_time() -> None:
    # Each array begins, and a comma parts it from the next.
    text = "[" + "[]," * (MAX_VALUES // 5) + "1]"
    found = decode({"a": [packed(text)] * 20}, {"$.a[*]": "gzip"})["a"]
    assert sum(isinstance(one, list) for one in found) == 2


def test_a_bomb_stays_and_is_never_inflated_beyond_the_bound() -> None:
    bomb = {"a": based(gzip.compress(bytes(50_000_000), 9))}
    assert len(bomb["a"]) < 100_000
    assert decode(bomb, {"$.a": "gzip"}) is bomb


# --- what platforms and definitions say ---


def test_a_definitions_paths_go_before_those_of_the_platform() -> None:
    def found(**keys: Any) -> Mapping[str, str]:
        webhook = Webhook.model_validate(
            {"name": "a", "platform": "aws-sns", "receivers": {"f": "any"}, **keys}
        )
        return decoding_of(webhook, PLATFORMS["aws-sns"])

    assert found() == {"$.Message": "json"}
    assert found(decode=False) == {}
    assert found(decode={"$.Message": "gzip"}) == {"$.Message": "gzip"}
    assert found(decode={"$.Message.body": "json"}) == {
        "$.Message": "json",
        "$.Message.body": "json",
    }


def test_conditions_ids_and_lists_see_what_was_decoded(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {
            "name": "a",
            "verifier": "none",
            "decode": {"$.payload": "base64-json"},
            "only": {"$.payload.kind": "order"},
            "dedup": {"path": "$.payload.id"},
        }
    )
    first, again, other = (
        based(json.dumps(one)) for one in ({"kind": "order", "id": 1, "n": n} for n in (1, 2, 3))
    )
    del other
    assert relay.post("a", json.dumps({"payload": first})).status_code == 200
    assert relay.post("a", json.dumps({"payload": again})).get_json()["duplicate"]
    assert relay.post("a", json.dumps({"payload": based('{"kind": "x"}')})).get_json() == {
        "filtered": True
    }
    assert relay.event().document(metadata=False) == {"payload": {"kind": "order", "id": 1, "n": 1}}


def test_what_decoding_makes_larger_than_conductor_takes_is_accepted_as_it_was_sent(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(
        {"name": "a", "verifier": "none", "decode": {"$.text": "json"}},
        bridge_conductor_payload=20_000,
    )
    text = json.dumps({"text": f"[{','.join(['1e14'] * 3000)}]"})
    assert relay.post("a", text).status_code == 200
    assert relay.event().payload == text


def test_broken_texts_count_for_what_they_were_decompressed_to() -> None:
    """Each of these is a kilobyte that becomes nearly the most that may be decoded, and is broken
    at its end."""
    broken = bytearray(gzip.compress(b"a" * (MOST - 100_000), mtime=0))
    broken[-5] ^= 1
    good = packed("fine")
    value = {"r": [based(bytes(broken))] * 2 + [good]}
    assert decode(value, {"$.r[*]": "gzip"}) == value, "nothing is left for the last"
    assert decode({"r": [based(b"no gzip")] * 1000 + [good]}, {"$.r[*]": "gzip"})["r"][-1] == "fine"


def test_a_body_that_is_one_text_stays_at_request() -> None:
    assert decode('{"a": 1}', {"$.request": "json"}) == {"request": {"a": 1}}
    assert decode("[1]", {"$.request": "json"}) == {"request": [1]}
    assert decode([based("x")], {"$.request[0]": "base64"}) == ["x"]


@pytest.mark.parametrize(
    "hide", ["$.p.card", "$.p['card'].number", "$.r[*].p.card", "$.r[0].p.card", "$.r[*].p[*]"]
)
@pytest.mark.parametrize("text", ['{"card": 4111, "n": NaN}', '[{"card": 4111}'])
def test_what_is_hidden_in_a_text_that_can_not_be_decoded_is_hidden_with_it(
    hide: str, text: str, make_relay: MakeRelay
) -> None:
    decoding = {"$.p": "json", "$.r[*].p": "json"}
    relay = make_relay({"name": "a", "verifier": "none", "decode": decoding, "hide": [hide]})
    body = {"p": text, "type": "x"} if hide.startswith("$.p") else {"r": [{"p": text}], "type": "x"}
    assert relay.post("a", json.dumps(body)).status_code == 200
    event = relay.event()
    assert "4111" in event.payload, "Conductor gets it"
    assert "4111" not in masked(event, [hide]).payload
    assert "4111" not in event.summary
