"""POST /predict past the framework: the same answers, and a client that leaves disturbs nobody."""

import asyncio
import json

import pytest
from starlette.requests import ClientDisconnect

from quire.serve.endpoint import TooLarge, read_body


def receiving(*messages):
    left = list(messages)

    async def receive():
        return left.pop(0)

    return receive


def part(body, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_read_whole_whatever_its_parts():
    found = asyncio.run(read_body(receiving(part(b"a"), part(b""), part(b"bc", more=False)), 10))
    assert found == b"abc"


def test_a_body_is_not_read_further_than_it_may_be_long():
    with pytest.raises(TooLarge, match="10 bytes"):
        asyncio.run(read_body(receiving(part(b"x" * 6), part(b"x" * 6)), 10))


def test_a_client_that_leaves_while_it_sends_gets_no_prediction():
    for messages in ([{"type": "http.disconnect"}], [part(b"{"), {"type": "http.disconnect"}]):
        with pytest.raises(ClientDisconnect):
            asyncio.run(read_body(receiving(*messages), 10))


def test_a_client_that_left_is_counted_as_gone_and_nothing_is_kept(serve, kept):
    client = serve()
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": "/predict", "method": "POST", "query_string": b"", "headers": []}
    asyncio.run(client.app(scope | {"client": ("10.0.0.1", 1)}, receiving({"type": "http.disconnect"}), send))
    assert sent == []
    assert 'quire_requests_total{path="/predict",status="499"} 1.0' in client.get("/metrics").text
    assert kept().empty


@pytest.mark.parametrize("body", ["{}", "[]", '{"rows": []}', "nonsense"])
def test_the_shortcut_answers_as_the_framework_does(serve, row, body):
    """With CORS the same application is reached through one more layer; a trailing query is no obstacle either."""
    one, other = serve(), serve(champion=None, cors_origins=("https://app.example",))
    origin = {"Origin": "https://app.example"}
    for sent in (body, json.dumps(row)):
        answers = [one.post("/predict?explain=0", content=sent), other.post("/predict", content=sent, headers=origin)]
        assert len({answer.status_code for answer in answers}) == 1
        assert len({frozenset(answer.json()) for answer in answers}) == 1
    assert answers[1].headers["access-control-allow-origin"] == "https://app.example"


def test_another_method_is_not_allowed(serve):
    answer = serve().get("/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
