"""What a Conductor is like is found out by calls that change nothing there; answers as recorded,
and edited."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.webhooks import Definitions, Webhook
from tests.support.stand_in import Answer, Request, StandIn
from tools.servers import PATIENCE
from worker.conductor.server import Server
from worker.discovery.probe import CheckResult, probe

HOOK = {"name": "orders", "receivers": {"flow": "any"}, "starts": [{"workflow": "onboard"}]}
DEFINITIONS = Definitions((Webhook.model_validate(HOOK),))
NO_PATH = Answer({"message": "No static resource."}, 404)


class Conductor(StandIn):
    """Answers as Conductor 3.32 does one that has nothing running, except for the calls in
    `edited`."""

    def __init__(self) -> None:
        super().__init__()
        self.edited: dict[str, Answer] = {}
        self.known: dict[str, Answer] = {
            "GET /api/tasks/poll": Answer([]),
            "GET /api/tasks/search": Answer({"totalHits": 0, "results": []}),
            "GET /api/workflow/running": Answer([]),
            "POST /api/workflow/webhook-bridge-check/correlated": Answer(
                {"webhook-bridge-check": []}
            ),
            "POST /api/workflow/onboard/correlated": Answer({"webhook-bridge-check": []}),
            "POST /api/tasks/webhook-bridge-check": Answer(""),
            "POST /api/token": NO_PATH,
        }
        self.answers = [self.answer]

    def answer(self, asked: Request) -> Answer:
        call = f"{asked.method} {asked.path}"
        for beginning, answer in self.edited.items():
            if call.startswith(beginning):
                return answer
        if not asked.path.startswith("/api/"):
            return Answer("<html>Conductor UI</html>", 200, "text/html")
        return next(
            (answer for beginning, answer in self.known.items() if call.startswith(beginning)),
            Answer({"message": "No such thing: webhook-bridge-check"}, 404),
        )

    def probe(
        self, url: str | None = None, key: str | None = None, seconds: float = PATIENCE
    ) -> list[CheckResult]:
        return probe(Server(url or self.url, key, key), DEFINITIONS, seconds=seconds)

    def result(
        self, url: str | None = None, key: str | None = None, seconds: float = PATIENCE
    ) -> CheckResult:
        """The only one that is no note."""
        [result] = [result for result in self.probe(url, key, seconds) if result.level != "note"]
        return result


@pytest.fixture
def server() -> Iterator[Conductor]:
    server = Conductor()
    yield server
    server.stop()


def test_of_a_server_that_can_be_used_the_way_of_discovery_is_said(server: Conductor) -> None:
    assert server.probe() == [
        CheckResult("note", "waiting tasks that no queue hands out are found by search")
    ]


def test_nothing_is_taken_from_anybody(server: Conductor) -> None:
    """Another domain's queue is asked, and what every other call names isn't there."""
    server.probe()
    polls = [request for request in server.requests if "poll" in request.path]
    assert [poll.query["domain"] for poll in polls] == [["webhook-bridge-check"]]
    changing = [request for request in server.requests if request.method != "GET"]
    assert len(changing) == 5
    assert all("webhook-bridge-check" in request.path + str(request.body) for request in changing)


def test_a_server_that_nobody_reaches_is_a_warning(server: Conductor) -> None:
    result = server.result("http://127.0.0.1:1/api")
    assert result.level == "warning"
    assert "can't be reached" in result.what


def test_a_proxy_on_the_way_is_named_without_its_password(
    server: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any proxy would do.
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("://", "://me:hidden@"))
    notes = [str(one) for one in server.probe("http://conductor.example/api")]
    assert notes[0].startswith(f"Conductor is called by the proxy {server.url}; NO_PROXY names")
    assert "hidden" not in "".join(notes)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_is_away_behind_a_proxy_is_a_warning(server: Conductor, status: int) -> None:
    server.edited = {"GET /api/tasks/poll": Answer("", status)}
    assert server.result().level == "warning"


def test_one_that_never_answers_is_a_warning_in_time(server: Conductor) -> None:
    server.edited = {"GET /api/tasks/poll": Answer("[]", wait=60)}
    result = server.result(seconds=0.2)
    assert result.level == "warning"
    assert "completely" in result.what or "doesn't answer" in result.what


def test_an_address_that_lacks_api_is_an_error_with_the_right_one(server: Conductor) -> None:
    result = server.result(server.url.removesuffix("/api"))
    assert result.level == "error"
    assert result.remedy == f"CONDUCTOR_SERVER_URL must be {server.url}"
    with_password = server.url.replace("://", "://user:hidden@").removesuffix("/api")
    assert server.result(with_password).remedy == result.remedy


@pytest.mark.parametrize(
    "answer",
    [
        NO_PATH,
        Answer("<html>welcome</html>", 200, "text/html"),
        Answer("", 405),
        Answer("bad", 400),
        Answer("", 302, headers={"Location": "https://login.example.com"}),
    ],
)
def test_what_is_no_conductor_is_an_error(server: Conductor, answer: Answer) -> None:
    server.edited = {"GET /api/": answer}
    result = server.result()
    assert result.level == "error"
    assert "no Conductor API there" in result.what
    assert "end with /api" in result.remedy


@pytest.mark.parametrize(
    "edited",
    [
        {"GET /api/tasks/poll": Answer({"message": "who are you?"}, 401)},
        {"POST /api/token": Answer({"message": "no such key"}, 401)},
        {"POST /api/token": Answer({"message": "no such key"}, 400)},
    ],
)
def test_a_key_that_is_refused_is_an_error(server: Conductor, edited: dict[str, Answer]) -> None:
    server.edited = edited
    result = server.result(key="key")
    assert result.level == "error"
    assert "CONDUCTOR_AUTH_KEY" in result.remedy


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ("GET /api/tasks/webhook-bridge-check", "GET /tasks/{taskId}"),
        ("POST /api/tasks/webhook-bridge-check", "POST /tasks/{workflowId}/{name}/COMPLETED"),
        ("POST /api/workflow/onboard", "POST /workflow/{name}/correlated"),
        ("PUT /api/workflow/decide", "PUT /workflow/decide/{workflowId}"),
    ],
)
def test_a_permission_that_the_key_lacks_is_named(server: Conductor, call: str, named: str) -> None:
    server.edited = {call: Answer({"message": "no"}, 403)}
    results = [result for result in server.probe() if result.level == "error"]
    assert any(f"{named}: the key" in result.what for result in results)


def test_a_server_that_is_too_old_is_an_error_that_names_the_call(server: Conductor) -> None:
    """As Netflix Conductor 3.13.8 answers."""
    absent = {
        "timestamp": "2026-11-25T10:14:17.617+00:00",
        "status": 404,
        "error": "Not Found",
        "path": "/api/…",
    }
    server.edited = {
        "POST /api/tasks/webhook-bridge-check": Answer(absent, 404),
        "GET /api/tasks/webhook-bridge-check": Answer("", 204),
    }
    result = server.result()
    assert result.level == "error"
    assert "too old" in result.what
    assert "POST /tasks/{workflowId}/{name}/COMPLETED" in result.what


def test_a_server_without_any_search_is_a_warning_and_its_workflows_are_not_all_read(
    server: Conductor,
) -> None:
    server.edited = {"GET /api/tasks/search": Answer({"message": "no"}, 403)}
    result = server.result()
    assert result.level == "warning"
    assert "found by workflows" in result.what
    assert "/api/workflow/running/flow" not in [request.path for request in server.requests]
