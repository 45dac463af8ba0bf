"""Who may use a server: the names that it is known by, pages of other sites, and the headers of every answer."""

import asyncio

import pytest

from quire.serve.sites import SAFE_HEADERS, SiteCheck, Sites, sites_of

LOCAL = sites_of("127.0.0.1", (), (), behind_proxy=False)


def refusal(sites, *, method="POST", path="/predict", kind="http", **headers):
    scope = {"type": kind, "method": method, "path": path, "http_version": "1.1"}
    found = sites.refusal(scope, {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()})
    return found[0] if found else None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "LOCALHOST", "localhost.", "[::1]:8000", "127.8.8.8", "[::1]"],
)
def test_on_the_loopback_it_is_known_by_the_names_of_the_loopback(host):
    assert refusal(LOCAL, host=host) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil.example",
     "evil.example#127.0.0.1", "10.0.0.1", "[::1", "", "localhost:evil", "127.0.0.1:80:80", "0.0.0.0"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_and_by_no_other_which_a_rebound_name_would_be(host, method):
    assert refusal(LOCAL, host=host, method=method) == 421


def test_a_request_without_a_host_is_refused():
    assert refusal(LOCAL) == 400
    assert refusal(Sites()) == 400


def test_host_and_configuration_add_names():
    sites = sites_of("localhost", ("predict.example",), (), behind_proxy=False)
    assert [refusal(sites, host=host) for host in ("predict.example", "PREDICT.example:443", "127.0.0.1")] == [None] * 3
    assert refusal(sites, host="other.example") == 421


def test_elsewhere_any_name_is_taken_until_some_are_configured():
    assert refusal(sites_of("0.0.0.0", (), (), behind_proxy=False), host="any.example") is None
    assert refusal(sites_of("127.0.0.1", (), (), behind_proxy=True), host="any.example") is None
    for host in ("0.0.0.0", "127.0.0.1"):
        some = sites_of(host, ("predict.example",), (), behind_proxy=True)
        assert [refusal(some, host=name) for name in ("predict.example", "any.example")] == [None, 421]


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://evil.example", "https://evil.example", "http://localhost:3000", "http://127.0.0.1:8001",
     "http://127.0.0.1:8000.evil.example", "file://", "chrome-extension://127.0.0.1:8000", "127.0.0.1:8000"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/predict", "/feedback", "/feedback-form"])
def test_a_page_of_another_origin_may_change_nothing(origin, path):
    found = refusal(LOCAL, host="127.0.0.1:8000", origin=origin, path=path, content_type="application/json")
    assert found == 403
    assert refusal(LOCAL, host="127.0.0.1:8000", origin=origin, path=path, kind="websocket") == 403


def test_a_page_of_its_own_and_one_that_is_configured_may():
    assert refusal(LOCAL, host="127.0.0.1:8000", origin="http://127.0.0.1:8000") is None
    sites = sites_of("127.0.0.1", ("predict.example",), ("https://app.example",), behind_proxy=True)
    for origin in ("https://app.example", "https://predict.example"):
        assert refusal(sites, host="predict.example", origin=origin) is None
    # A proxy may name the server otherwise than the browser does.
    assert refusal(sites, host="127.0.0.1:8000", origin="https://predict.example") is None


def test_reading_is_left_to_the_browser_which_shows_another_site_nothing():
    for method in ("GET", "HEAD", "OPTIONS"):
        assert refusal(LOCAL, host="127.0.0.1", origin="https://evil.example", method=method) is None


@pytest.mark.parametrize("kind", ["text/plain", "Text/Plain; charset=utf-8", "multipart/form-data; boundary=x"])
def test_json_that_a_page_of_another_site_sends_as_something_else_is_no_json(kind):
    assert refusal(LOCAL, host="127.0.0.1", origin="https://evil.example", content_type=kind) == 415
    assert refusal(LOCAL, host="127.0.0.1", content_type=kind) is None  # curl's own; no page sent it


def answer(path, raw=None, kind="http", **headers):
    sent = []

    async def page(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-content-type-options", b"own")]})
        await send({"type": "http.response.body", "body": b"page"})

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "method": "GET", "path": path, "raw_path": (raw or path).encode(), "http_version": "1.1"}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(SiteCheck(page, LOCAL)(scope, receive, send))
    return sent


def test_every_answer_has_the_headers_that_it_does_not_set_itself():
    for sent in (answer("/", host="localhost"), answer("/", host="evil.example")):
        headers = dict(sent[0]["headers"])
        assert set(headers) >= {name for name, _ in SAFE_HEADERS}
    assert dict(answer("/", host="localhost")[0]["headers"])[b"x-content-type-options"] == b"own"


@pytest.mark.parametrize("raw", ["/%00", "/live/%ff", "/runs/a%0d%0a", "/runs/%c0%ae"])
def test_a_path_that_is_no_text_is_refused_before_anything_looks_for_it(raw):
    assert answer("/x", raw, host="localhost")[0]["status"] == 400


@pytest.mark.parametrize("raw", ["/", "/runs/%C3%A4", "/runs/a%20b/"])
def test_any_other_is_not(raw):
    assert answer("/x", raw, host="localhost")[0]["status"] == 200


def test_a_websocket_of_another_page_is_closed():
    assert answer("/live", kind="websocket", host="localhost", origin="https://evil.example")[0]["code"] == 4403
