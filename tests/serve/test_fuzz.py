"""Whatever is sent from outside, to every parser of it: an answer that says what is wrong, and never a failure."""

import hashlib
import json
import random
from urllib.parse import quote_from_bytes

import pytest

KEY = "a-long-random-key"
REQUESTS = 300

VALUES = [
    "null", "true", "0", "-0.0", "1e308", "-1e308", "1.8e308", "1e-320", "NaN", "Infinity", "-Infinity",
    "1e39", "1e400", str(2**53), str(2**63), str(2**64), str(10**400), "9" * 4_300, "1" * 5_000, "1." + "3" * 5_000,
    "01", "tru",
    '""', '" "', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"<script>"', '"rows"', '"%00"', '"1e999"', '"NaN"',
    json.dumps("a" * 10_001), json.dumps("é" * 9_999), '"２"', '"2026-13-45"', '"0001-01-01T00:00:00Z"',
    '"9999-12-31T23:59:59-23:59"', '"2026-03-01T00:00:00+99:99"', '"2026-03-29T02:30:00"', "253402300800", "-1e20",
    "[]", "{}", "[[[1]]]", '{"rows": [1]}', "[" * 150 + "]" * 150, '{"a":' * 120 + "1" + "}" * 120,
    '["a", {"b": null}]',
]  # fmt: skip
BYTES = [b"", b"\xff\xfe", b"\x00", b"{", b"}", b'{"rows": [', b"null", b"[]", b'"rows"', b"\xef\xbb\xbf{}"]
BYTES += [b"[" * 5_000, b'{"rows":' * 5_000 + b"1", b'{"feedback":' * 2_000, b" " * 100_000, b"1" * 100_000]
QUERIES = [b"explain=%ff", b"explain=xyz", b"explain=%00", b"explain", b"explain=1&explain=%ff", b"&&==&", b"\xff"]
QUERIES += [b"explain=" + b"1" * 6_000, b"a=1&" * 1_500, b"explain=%F0%9F%98%80", b"%ff=1", b"explain=true"]
COOKIES = [
    "a,b=1",
    "a,b=1; quire_key=x",
    'quire_key="',
    ";=;",
    "=",
    "[]=1",
    "quire_key=\\777",
    "quire_key=" + "x" * 6_000,
]
COOKIES += ["é=1", "a\tb=1", "$Version=1", "\x7f=1"]
HEADERS = {
    "authorization": ["Bearer", "Bearer ", "Basic xx", "bearer é", "Bearer \x7f"],
    "x-api-key": ["", "é", " ", "x" * 6_000],
    "x-request-id": ["a" * 65, "<script>", "é", "../x", ""],
    "content-type": ["", "x" * 4_000, "application/json; charset=utf-16", "text/plain", "multipart/form-data", "\xff"],
    "content-length": ["-1", "1e3", "9" * 400, "٣", ""],
    "origin": ["null", "", "http://", "http://testserver", "x://testserver", "http://[", "é"],
    "host": ["", "[", "[::1", "a@b", "a:b:c", ":80", "é", "testserver:99999"],
    "x-forwarded-for": ["é", "1.2.3.4, x", "," * 1_000],
    "sec-fetch-site": ["cross-site"],
}
PATHS = [
    "/",
    "/predict",
    "/feedback",
    "/feedback-form",
    "/health",
    "/health/ready",
    "/model",
    "/metrics",
    "/openapi.json",
]
PATHS += [
    "/model%00",
    "/%ff",
    "/..%2f..%2fetc/passwd",
    "//predict",
    "/predict/",
    "/%F0%9F%98%80",
    "/" + "a" * 8_000,
    "/%",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"]


def object_of(pairs):
    """Return JSON of an object whose values are JSON already."""
    return ("{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in pairs) + "}").encode("utf-8", "replace")


def rows_like(row, rng):
    """Return a body with one or many rows of which some fields are anything."""
    pairs = [(name, json.dumps(value)) for name, value in row.items()]
    for place in rng.sample(range(len(pairs)), rng.randint(1, 3)):
        pairs[place] = pairs[place][0], rng.choice(VALUES)
    if rng.random() < 0.3:
        pairs.append((rng.choice([*row, "rows", "", "é", "x" * 500]), rng.choice(VALUES)))
    body = object_of(pairs)
    if rng.random() < 0.3:
        body = b'{"rows": [' + b", ".join([json.dumps(row).encode()] * 3 + [body] * rng.choice([1, 3])) + b"]}"
    return body if rng.random() < 0.9 else body[: rng.randrange(len(body))]


def feedback_like(_, rng):
    name = rng.choice(['"' + "0" * 32 + '"', '"é"', *VALUES])
    said = object_of([("prediction_id", name), ("actual", rng.choice(VALUES))])
    return rng.choice([said, b'{"feedback": [' + said + b"]}", b'{"feedback": ' + rng.choice(VALUES).encode() + b"}"])


def form_like(row, rng):
    fields = [*(f"f.{name}" for name in row), "~key", "~prediction", "~actual", "", "x"]
    texts = [
        b"",
        b"1",
        b"1,5",
        b"nan",
        b"inf",
        b"1e999",
        b"1_0",
        b"%00",
        b"%ff",
        b"%",
        b"<b>",
        b"%F0%9F%98%80",
        b"&",
        b"a" * 9_999,
    ]
    pairs = [quote_from_bytes(name.encode()).encode() + b"=" + rng.choice(texts) for name in rng.sample(fields, 5)]
    return b"&".join(pairs * rng.choice([1, 1, 40]))


def anything(row, rng):
    """Return method, address, headers and body of a request."""
    kind = rng.randrange(6)
    path, make = [
        ("/predict", rows_like),
        ("/feedback", feedback_like),
        ("/", form_like),
        ("/feedback-form", form_like),
        ("/predict", None),
        (rng.choice(PATHS), None),
    ][kind]
    body = make(row, rng) if make else rng.choice([*BYTES, json.dumps(row).encode()])
    query = b"?" + rng.choice(QUERIES) if rng.random() < 0.2 else b""
    headers = {}
    if rng.random() < 0.2:
        headers["cookie"] = rng.choice(COOKIES)
    for name in rng.sample(sorted(HEADERS), rng.choice([0, 0, 1, 2])):
        headers[name] = rng.choice(HEADERS[name])
    method = "POST" if rng.random() < 0.8 else rng.choice(METHODS)
    return method, path.encode() + query, headers, body


@pytest.fixture(params=["sqlite", "postgresql"])
def client(request, serve, monkeypatch):
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").new()
        monkeypatch.setenv("TEST_DATABASE", url)
        monkeypatch.setenv("QUIRE_API_KEYS", f"ann:{hashlib.sha256(KEY.encode()).hexdigest()}")
    started = serve("random_forest", cache_rows=0)
    served = started.app.state.service.models.current
    served.fast = None  # the pipeline itself, which refuses more than the fast path
    return started


@pytest.mark.parametrize("seed", [1, 2])
def test_no_request_fails(client, row, seed):
    rng, failed = random.Random(seed), []
    for _ in range(REQUESTS):
        method, address, headers, body = anything(row, rng)
        raw = {name: value.encode("utf-8") for name, value in headers.items()}
        raw.setdefault("x-api-key", KEY.encode())
        answer = send(client, method, address, raw, body)
        if answer >= 500:
            failed.append((answer, method, address[:60], headers, body[:300]))
    assert failed == []
    assert client.post("/predict", json=row, headers={"x-api-key": KEY}).status_code == 200
    assert client.get("/health/ready").status_code == 200


def send(client, method, address, headers, body):
    """Send a request as a server hands it on, for what no client library would send; returns the status."""
    path, _, query = address.partition(b"?")
    from urllib.parse import unquote

    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def take(message):
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": unquote(path.decode()), "raw_path": path,
        "query_string": query, "scheme": "http", "server": ("testserver", 80), "client": ("10.0.0.1", 1),
        "root_path": "", "headers": [(b"host", b"testserver"), *((k.encode(), v) for k, v in headers.items())],
    }  # fmt: skip
    client.portal.call(client.app, scope, receive, take)
    (start,) = [message for message in sent if message["type"] == "http.response.start"]
    present = dict(start["headers"])
    assert {b"content-security-policy", b"x-content-type-options", b"referrer-policy"} <= set(present)
    return start["status"]
