"""What the relay is measured against: a Flask handler that only verifies."""

from __future__ import annotations

import hashlib
import hmac

from flask import Flask, Response, jsonify, request

from tools.bench.load import SECRET


def create_app() -> Flask:
    """An app whose only route checks GitHub's signature."""
    app = Flask(__name__)
    key = SECRET.encode()

    @app.post("/webhook/<url_id>")
    def receive(url_id: str) -> Response | tuple[str, int]:
        body = request.get_data()
        expected = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get("X-Hub-Signature-256", "")):
            return "", 401
        return jsonify(eventId="0")

    return app
