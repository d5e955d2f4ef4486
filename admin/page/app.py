"""The page and its API: who may see it, where its data comes from, and what every response
carries."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from flask import (
    Flask,
    Request,
    Response,
    abort,
    current_app,
    g,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import HTTPException

from admin.errors import CantDo
from admin.page import (
    api,
    criteria,
    definitions,
    listening,
    many,
    orkes_api,
    pages,
    rejections,
    sending,
    webhooks,
)
from admin.page.access import (
    COOKIE,
    NotAllowed,
    Role,
    TooManyWrongTokens,
    check_local,
    check_same_site,
)
from admin.page.context import Source, check_admin, role_of_token, sessions, source
from config.settings import Settings
from platforms.bodies import BadBody, read_json
from relay.http.forwarded import believing
from relay.retry import StillRejected
from store.errors import NewerStore, StoreUnavailable

_OPEN = {"pages.login", "pages.log_in", "pages.health", "pages.ready", "static", "orkes.token"}
"""What everyone may see."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_FOR_ALL = {"pages.log_in", "pages.logout", "orkes.token"}
"""What everyone who may see the page may post."""
_WITHOUT_SESSION = {"pages.health", "pages.ready", "static"}
"""What must work without the store."""
BODY = 256 * 1024
"""Bytes of the largest body: of a delivery that is edited, as UTF-8, and of what goes with it."""
_CODES = {413: "body_too_large", 429: "too_many_attempts", 500: "error", 503: "unavailable"}
"""Errors of the API that aren't named as HTTP names them."""
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

log = structlog.get_logger()


class _Request(Request):
    """Whose body is JSON, whatever its content type says."""

    def get_json(self, *_: Any, **_more: Any) -> Any:
        """None without a body; otherwise an error if it isn't JSON or is nested too deeply."""
        try:
            return read_json(self.get_data().decode()) if self.get_data() else None
        except UnicodeDecodeError:
            abort(400, "the body is not UTF-8")
        except BadBody as error:
            abort(400, str(error))


def create_app(settings: Settings) -> Flask:
    """The application. It opens definitions and store when a request first needs them."""
    app = Flask("admin.page")
    app.request_class = _Request
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = BODY
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(pages.HELPERS)
    app.extensions["bridge"] = Source(settings)
    app.config["POLICY"] = _POLICY
    proxies = settings.bridge_trusted_proxies
    app.wsgi_app = believing(app.wsgi_app, proxies, ("proto", "host"))  # type: ignore[method-assign, assignment]
    app.before_request(_admit)
    app.after_request(_finish)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(CantDo, lambda error: _error(error.status, str(error)))
    app.register_error_handler(
        StillRejected, lambda error: _error(409, f"It is still rejected: {error}")
    )
    app.register_error_handler(TooManyWrongTokens, _on_too_many_attempts)
    app.register_error_handler(StoreUnavailable, _on_no_store)
    app.register_error_handler(NewerStore, _on_no_store)
    app.register_error_handler(Exception, _on_bug)

    for module in (
        pages,
        api,
        listening,
        webhooks,
        definitions,
        criteria,
        sending,
        orkes_api,
        many,
    ):
        app.register_blueprint(module.blueprint)
    app.register_blueprint(rejections.api)
    return app


# --- who may see it ---


def _admit() -> Any:
    """Answers requests that may not come in; for others, remembers the role."""
    settings = source().settings
    is_asked = request.endpoint not in _WITHOUT_SESSION
    of_cookie = sessions().role_of(request.cookies.get(COOKIE)) if is_asked else None
    of_token = _role_of_program() if is_asked else None
    if not sessions().has_tokens:
        check_local(request.environ, bool(settings.bridge_trusted_proxies))
        g.role, g.who = "admin", "local"
    else:
        g.role = g.who = of_token or of_cookie
    if g.role is None and request.endpoint not in _OPEN:
        if request.path.startswith("/api/"):
            answer = _error(
                401,
                "authenticate with BRIDGE_ADMIN_TOKEN or BRIDGE_VIEWER_TOKEN: Authorization: Bearer"
                " TOKEN",
            )
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return redirect(url_for("pages.login", next=request.full_path.rstrip("?")))
    if is_asked:
        check_same_site(request.method, dict(request.headers), request.host)
    if request.method not in _SAFE and request.endpoint not in _FOR_ALL:
        check_admin("change something")
    is_form = request.mimetype.split(",")[0].strip() in _FORM_TYPES and request.content_length
    if is_form and request.path.startswith("/api/"):
        raise NotAllowed("a form can't change anything through the API: send JSON, or no body")
    return None


def _role_of_program() -> Role | None:
    """What a program may do with its token: a bearer token, or one in the header that Conductor's
    clients use.

    In that header it may also be one that /api/token returned.
    """
    given = request.authorization
    if given is not None and given.type == "bearer":
        return role_of_token(given.token)
    own = request.headers.get("X-Authorization")
    if not own:
        return None
    if sessions().was_ours(own):
        return sessions().role_of(own)
    return role_of_token(own)


def _finish(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "static":
        response.headers["Cache-Control"] = "max-age=3600"
    else:
        response.headers["Cache-Control"] = "no-store"
    return response


# --- errors ---


def _error(status: int, message: str) -> Response:
    """The error as JSON for the API, as a page for people."""
    if request.path.startswith("/api/"):
        code = _CODES.get(status) or HTTPStatus(status).phrase.lower().replace(" ", "_")
        answer = jsonify({"error": code, "message": message})
    else:
        answer = current_app.make_response(
            render_template("error.html", status=status, message=message)
        )
    answer.status_code = status
    return answer


def _on_http_error(error: HTTPException) -> Response:
    messages = {404: "There is no such page.", 405: "This page doesn't support that method."}
    status = error.code or 500
    is_ours = error.description != type(error).description
    said = error.description if is_ours else messages.get(status) or error.description
    return _error(status, said or "The request can't be answered.")


def _on_no_store(error: Exception) -> Response:
    return _error(503, f"The store can't be used now: {error}")


def _on_too_many_attempts(error: TooManyWrongTokens) -> Response:
    answer = _error(429, str(error))
    answer.headers["Retry-After"] = str(error.seconds)
    return answer


def _on_bug(error: Exception) -> Response:
    log.error("a request failed", path=request.path, exc_info=error)
    return _error(500, "Something went wrong; the log says more.")
