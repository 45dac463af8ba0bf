"""What stands before every request: keys, rates shared by processes, sizes, ids."""

import asyncio
import hashlib
import json
import multiprocessing
from collections import Counter

import pytest

from quire.config import Serve
from quire.serve.limits import trusting
from quire.serve.middleware import Keys, Rate, RequestMiddleware, sent_key

KEY = "a-long-random-key"
HASHES = {"ann": hashlib.sha256(b"another").hexdigest(), "bob": hashlib.sha256(KEY.encode()).hexdigest()}


def request(guard, path="/predict", headers=(), *, method="POST", client="10.0.0.1", body=b"{}"):
    """Send one request; returns status, headers and content of the answer."""
    sent = []
    scope = {"type": "http", "path": path, "method": method, "client": (client, 1)}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers]

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    start, *rest = sent
    content = b"".join(message["body"] for message in rest)
    return start["status"], dict(start["headers"]), json.loads(content) if content else None


@pytest.fixture
def guarded():
    """A function that makes a guard before an application that says ok; it has the list of what was measured."""

    def make(app=None, *, keys=None, rate=None, **options):
        async def ok(scope, receive, send):
            scope["endpoint"] = ok
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b'"ok"'})

        seen = []
        options = {"max_body_bytes": 100, "access_log": False} | options
        guard = RequestMiddleware(
            app or ok, keys=Keys(keys or {}), rate=rate or Rate(0, 1), measured=lambda *one: seen.append(one), **options
        )
        guard.seen = seen
        return guard

    return make


def test_a_key_is_known_by_its_hash_only():
    keys = Keys(HASHES)
    assert keys.holder(KEY) == "bob"
    assert keys.holder(HASHES["bob"]) is None
    assert keys.holder("") is None
    assert not Keys({})


@pytest.mark.parametrize(
    "header",
    [("x-api-key", KEY), ("authorization", f"Bearer {KEY}"), ("authorization", f"bearer {KEY}"),
     ("cookie", f"other=1; quire_key={KEY}")],
)  # fmt: skip
def test_a_key_is_taken_from_header_bearer_or_cookie(header):
    assert sent_key({header[0].encode(): header[1].encode()}) == KEY


@pytest.mark.parametrize("cookie", ['a="', "quire_key", "\x00=1", "b=1; quire_ke=2"])
def test_a_cookie_of_another_application_is_no_key(cookie):
    assert sent_key({b"cookie": cookie.encode()}) == ""


def test_without_a_known_key_only_health_and_page_are_open(guarded):
    guard = guarded(keys=HASHES)
    for path, status in (("/predict", 401), ("/metrics", 401), ("/model", 401), ("/health/ready", 200), ("/", 200)):
        assert request(guard, path)[0] == status, path
    status, headers, content = request(guard, headers=[("x-api-key", "wrong")])
    assert (status, headers[b"www-authenticate"]) == (401, b"Bearer")
    assert "X-API-Key" in content["error"]
    assert request(guard, headers=[("x-api-key", KEY)])[0] == 200


def test_a_rate_lets_a_burst_through_and_then_one_per_interval():
    rate = Rate(10.0, 3)
    assert [rate.wait("ann", 100.0) for _ in range(3)] == [0, 0, 0]
    assert rate.wait("ann", 100.0) == pytest.approx(0.1)
    assert rate.wait("ann", 100.05) == pytest.approx(0.05)
    assert rate.wait("ann", 100.1) == 0
    assert rate.wait("bob", 100.1) == 0
    assert Rate(0, 1).wait("ann", 100.0) == 0


def ask(path, answers):
    rate = Rate(1.0, 20, path)
    answers.put(sum(rate.wait("ann", 100.0) == 0 for _ in range(50)))


def test_a_rate_holds_across_processes(tmp_path):
    path = tmp_path / "rate"
    path.touch()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    workers = [context.Process(target=ask, args=(str(path), answers)) for _ in range(3)]
    for worker in workers:
        worker.start()
    passed = sum(answers.get(timeout=20) for _ in workers)
    for worker in workers:
        worker.join()
    assert passed == 20


def test_holders_of_keys_have_a_rate_of_their_own_and_health_has_none(guarded):
    guard = guarded(keys=HASHES, rate=Rate(0.001, 1))
    bob = [("x-api-key", KEY)]
    statuses = Counter(request(guard, headers=bob)[0] for _ in range(3))
    assert statuses == {200: 1, 429: 2}
    assert int(request(guard, headers=bob)[1][b"retry-after"]) >= 1
    assert request(guard, headers=[("x-api-key", "another")])[0] == 200
    assert {request(guard, "/health")[0] for _ in range(3)} == {200}


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_read(guarded):
    status, _, content = request(guarded(), headers=[("content-length", "101")])
    assert status == 413
    assert "101" in content["error"]


@pytest.mark.parametrize("sent", ["abc-1", "A.b_c", "x" * 64])
def test_a_request_keeps_the_id_that_it_came_with(guarded, sent):
    assert request(guarded(), headers=[("x-request-id", sent)])[1][b"x-request-id"] == sent.encode()


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\r\nset-cookie: x", "<script>"])
def test_an_id_that_is_not_one_is_replaced(guarded, sent):
    given = request(guarded(), headers=[("x-request-id", sent)])[1][b"x-request-id"].decode()
    assert given != sent
    assert len(given) == 32


def test_a_fault_is_answered_with_500_logged_with_the_id_and_told_to_nobody(guarded, caplog):
    async def broken(scope, receive, send):
        raise RuntimeError("a secret of the inside")

    guard = guarded(broken)
    status, _, content = request(guard, headers=[("x-request-id", "abc")])
    assert (status, content["request_id"]) == (500, "abc")
    assert "secret" not in content["error"]
    assert "request abc failed" in caplog.text
    assert "secret" in caplog.text


def test_what_is_measured_has_known_paths_only(guarded):
    guard = guarded()
    request(guard)
    guard_of_nothing = guarded(lambda scope, receive, send: not_found(send))
    request(guard_of_nothing, "/etc/passwd")
    assert [one[:2] for one in guard.seen] == [("/predict", 200)]
    assert [one[:2] for one in guard_of_nothing.seen] == [("other", 404)]


async def not_found(send):
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_unknown_keys_are_tried_at_a_slow_rate_and_good_ones_are_not_slowed(guarded):
    guard = guarded(keys=HASHES)
    statuses = Counter(request(guard, headers=[("x-api-key", f"guess {number}")])[0] for number in range(200))
    assert statuses[401] < 100
    assert statuses[429] > 100
    status, headers, _ = request(guard, headers=[("x-api-key", "another guess")])
    assert (status, int(headers[b"retry-after"]) >= 1) == (429, True)
    assert request(guard, headers=[("x-api-key", KEY)])[0] == 200
    assert request(guard, headers=[("x-api-key", "guess")], client="10.0.0.2")[0] == 401


def test_every_answer_has_safe_headers_and_the_log_has_the_address(guarded, caplog):
    guard = guarded(keys=HASHES, access_log=True)
    with caplog.at_level("INFO", logger="quire"):
        for headers in ([("x-api-key", KEY)], []):
            _, found, _ = request(guard, headers=[*headers, ("x-forwarded-for", "6.6.6.6")])
            assert found[b"x-content-type-options"] == b"nosniff"
            assert b"frame-ancestors 'none'" in found[b"content-security-policy"]
    lines = [record.fields for record in caplog.records]
    assert [(line["client"], line["address"]) for line in lines] == [("bob", "10.0.0.1"), ("10.0.0.1", "10.0.0.1")]


def test_a_forwarded_address_is_believed_from_known_proxies_only(guarded):
    def statuses(proxies):
        guard = trusting(guarded(rate=Rate(0.001, 1)), proxies)
        addresses = [("x-forwarded-for", f"6.6.6.{number}") for number in range(4)]
        return [request(guard, headers=[address], client="127.0.0.1")[0] for address in addresses]

    assert statuses(()) == statuses(("10.0.0.0/8",)) == [200, 429, 429, 429]
    assert statuses(("127.0.0.1",)) == statuses(("127.0.0.0/8",)) == [200] * 4


def test_a_rate_is_on_by_default_and_generous():
    serve = Serve()
    assert 1_000 < serve.rate_limit < 1e6
    assert serve.rate_burst >= 1_000
