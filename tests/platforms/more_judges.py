"""Judges of the platforms whose signature is one header, or a field: their own libraries, or else OpenSSL."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

import jwt

from tests.platforms.judging import BODY, URL, Judge, Signed, holds, openssl_hmac
from tests.relay.bridge import NOW

SECONDS = str(int(NOW))
RFC3339 = "2025-10-09T08:53:20.123456789Z"
KEY = "0123456789abcdef0123456789abcdef-secret"

# --- the vendors' libraries ---


def adyen() -> Judge:
    from Adyen.util import generate_notification_sig, is_valid_hmac_notification

    key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    item = {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "Test: é",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
    }
    signed = item | {"additionalData": {"hmacSignature": generate_notification_sig(item, key).decode()}}
    body = json.dumps({"notificationItems": [{"NotificationRequestItem": signed}]}).encode()
    return Judge(
        "adyen",
        key,
        lambda: Signed({}, body),
        lambda given: holds(lambda: is_valid_hmac_notification(json.loads(given.body), key)),
    )


def box() -> Judge:
    from box_sdk_gen.managers.webhooks import WebhooksManager

    stamp = "2025-10-09T01:53:20-07:00"
    signature = base64.b64encode(openssl_hmac(KEY, BODY + stamp.encode())).decode()
    always = {"box-signature-version": "1", "box-signature-algorithm": "HmacSHA256"}

    def verdict(given: Signed) -> bool:
        headers = always | {name.lower(): value for name, value in given.headers.items()}
        return bool(WebhooksManager.validate_message(given.body.decode(), headers, "another key", secondary_key=KEY))

    return Judge(
        "box",
        KEY,
        lambda: Signed({"Box-Delivery-Timestamp": stamp, "Box-Signature-Secondary": signature}),
        lambda given: holds(lambda: verdict(given)),
        600,
    )


def line() -> Judge:
    from linebot.v3.webhook import SignatureValidator

    signature = base64.b64encode(openssl_hmac(KEY, BODY)).decode()
    return Judge(
        "line",
        KEY,
        lambda: Signed({"x-line-signature": signature}),
        lambda given: holds(
            lambda: SignatureValidator(KEY).validate(given.body.decode(), given.headers["x-line-signature"])
        ),
    )


def paddle() -> Judge:
    from paddle_billing.Notifications import Secret, Verifier

    class Received:
        def __init__(self, given: Signed):
            self.headers, self.body = given.headers, given.body

    signature = openssl_hmac(KEY, f"{SECONDS}:".encode() + BODY).hex()
    return Judge(
        "paddle",
        KEY,
        lambda: Signed({"Paddle-Signature": f"ts={SECONDS};h1={signature}"}),
        lambda given: holds(lambda: Verifier().verify(Received(given), Secret(KEY), verify_time_drift=False)),
    )


def razorpay() -> Judge:
    from razorpay import Client

    judge = Client(auth=("key", "secret")).utility
    return Judge(
        "razorpay",
        KEY,
        lambda: Signed({"X-Razorpay-Signature": openssl_hmac(KEY, BODY).hex()}),
        lambda given: holds(
            lambda: judge.verify_webhook_signature(given.body.decode(), given.headers["X-Razorpay-Signature"], KEY)
        ),
    )


def monday() -> Judge:
    token = jwt.encode({"aud": URL, "iat": int(NOW), "exp": int(NOW) + 300}, KEY, "HS256")
    options: Any = {"verify_exp": False, "verify_iat": False}
    return Judge(
        "monday",
        KEY,
        lambda: Signed({"Authorization": token}),
        lambda given: holds(
            lambda: jwt.decode(given.headers["Authorization"], KEY, ["HS256"], audience=given.url, options=options)
        ),
        covers_url=True,
    )


LIBRARIES: dict[str, Callable[[], Judge]] = {
    "Adyen": adyen, "box_sdk_gen": box, "linebot": line, "paddle_billing": paddle, "razorpay": razorpay,
}  # fmt: skip
"""Module → its judge. Without the module, as paddle_billing on Python 3.10, there is none."""

# --- OpenSSL ---

Message = Callable[[Signed], bytes]


def by_openssl(
    platform: str,
    header: str,
    encoding: Literal["hex", "base64"] = "hex",
    algorithm: str = "sha256",
    form: str = "{}",
    message: Message = lambda given: given.body,
    more: dict[str, str] | None = None,
    body: bytes = BODY,
    **known: Any,
) -> Callable[[], Judge]:
    """A judge that OpenSSL signs for, and Python's hmac verifies. `form`: of the header. `more`: its other headers."""

    def written(mac: bytes) -> str:
        return form.format(mac.hex() if encoding == "hex" else base64.b64encode(mac).decode())

    def verdict(given: Signed) -> bool:
        return given.headers[header] == written(hmac.new(KEY.encode(), message(given), algorithm).digest())

    def make() -> Judge:
        unsigned = Signed(more or {}, body)
        signature = written(openssl_hmac(KEY, message(unsigned), algorithm))
        signed = Signed((more or {}) | {header: signature}, body)
        return Judge(platform, KEY, lambda: signed, lambda given: holds(lambda: verdict(given)), **known)

    make.__name__ = platform
    return make


def with_time(header: str, form: str) -> Message:
    """`form` with the header's time and the body."""
    before, after = (part.encode() for part in form.split("{body}"))

    def message(given: Signed) -> bytes:
        stamp = given.headers[header].encode("latin-1")
        return before.replace(b"{time}", stamp) + given.body + after.replace(b"{time}", stamp)

    return message


def twitch_message(given: Signed) -> bytes:
    names = ("Twitch-Eventsub-Message-Id", "Twitch-Eventsub-Message-Timestamp")
    return "".join(given.headers[name] for name in names).encode("latin-1") + given.body


def mandrill_message(given: Signed) -> bytes:
    fields = parse_qsl(given.body.decode(), keep_blank_values=True)
    return (given.url + "".join(name + value for name, value in sorted(fields))).encode()


def buildkite() -> Judge:
    def written(body: bytes) -> str:
        return f"timestamp={SECONDS},signature={openssl_hmac(KEY, SECONDS.encode() + b'.' + body).hex()}"

    return Judge(
        "buildkite",
        KEY,
        lambda: Signed({"X-Buildkite-Signature": written(BODY)}),
        lambda given: holds(lambda: given.headers["X-Buildkite-Signature"] == written(given.body)),
        300,
    )


FORM = urlencode({"mandrill_events": '[{"event": "open", "_id": "é +&="}]'}).encode()
_SPOOLED = {"Twitch-Eventsub-Message-Id": "QWp8mt0CwvBUsw8eYOVPJPp3Z0MU2hlYHKXc0SHJcJU="}
OPENSSL = [
    by_openssl("asana", "X-Hook-Signature"),
    by_openssl("circleci", "circleci-signature", form="v1={}"),
    by_openssl("docusign", "X-DocuSign-Signature-1", "base64"),
    by_openssl("docusign", "X-DocuSign-Signature-7", "base64"),
    by_openssl("forgejo", "X-Forgejo-Signature"),
    by_openssl("gitea", "X-Gitea-Signature"),
    by_openssl("grafana", "X-Grafana-Alerting-Signature",
               message=with_time("X-Grafana-Alerting-Timestamp", "{time}:{body}"),
               more={"X-Grafana-Alerting-Timestamp": SECONDS}, tolerance=300),
    by_openssl("klaviyo", "Klaviyo-Signature", message=with_time("Klaviyo-Timestamp", "{body}{time}"),
               more={"Klaviyo-Timestamp": "Thu, 09 Oct 2025 13:53:20 GMT"}, tolerance=300,
               body=b'{"data": [], "meta": {"timestamp": "2025-10-09T08:53:20.123456+00:00"}}'),
    by_openssl("mandrill", "X-Mandrill-Signature", "base64", "sha1", message=mandrill_message, body=FORM,
               covers_url=True, content_type="application/x-www-form-urlencoded"),
    by_openssl("notion", "X-Notion-Signature", form="sha256={}"),
    by_openssl("quickbooks", "intuit-signature", "base64"),
    by_openssl("sentry", "Sentry-Hook-Signature"),
    by_openssl("terraform-cloud", "X-TFE-Notification-Signature", algorithm="sha512"),
    by_openssl("trello", "X-Trello-Webhook", "base64", "sha1",
               message=lambda given: given.body + given.url.encode(), covers_url=True),
    by_openssl("twitch", "Twitch-Eventsub-Message-Signature", form="sha256={}", message=twitch_message,
               more=_SPOOLED | {"Twitch-Eventsub-Message-Timestamp": RFC3339}, tolerance=600),
    by_openssl("vercel", "x-vercel-signature", algorithm="sha1"),
    by_openssl("webex", "X-Spark-Signature", algorithm="sha1"),
    by_openssl("whatsapp", "X-Hub-Signature-256", form="sha256={}"),
    by_openssl("woocommerce", "X-WC-Webhook-Signature", "base64"),
    by_openssl("xero", "x-xero-signature", "base64"),
]  # fmt: skip

MORE = [*(judge for name, judge in LIBRARIES.items() if find_spec(name)), monday, buildkite, *OPENSSL]
