"""POST /predict past the framework: the same answers, and a client that leaves disturbs nobody."""

import asyncio
import json

import pytest
from starlette.requests import ClientDisconnect

from quire.serve.endpoint import TooLarge, Waiting, read_body
from quire.serve.log import Unavailable


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


def test_bodies_that_come_slowly_are_held_up_to_a_bound_and_not_beyond():
    waiting = Waiting(20)

    async def read():
        async def receive():
            nonlocal count
            count += 1
            await asyncio.sleep(0)
            return part(b"x" * 4, more=count < 3)

        count = 0
        return await read_body(receive, 100, waiting)

    async def both(number):
        return await asyncio.gather(*(read() for _ in range(number)), return_exceptions=True)

    assert asyncio.run(both(2)) == [b"x" * 12] * 2
    answers = asyncio.run(both(9))
    assert {type(answer) for answer in answers} == {bytes, Unavailable}
    assert waiting.bytes == 0


@pytest.mark.parametrize(("query", "status"), [("1", 200), ("false", 200), ("", 422), ("xyz", 422), ("%ff", 422)])
def test_whether_to_explain_is_a_truth_value(serve, row, query, status):
    answer = serve().post(f"/predict?explain={query}", json=row)
    assert answer.status_code == status
    assert ("effects" in answer.json()) == (query == "1")


def test_many_rows_are_answered_in_their_order_and_all_kept(serve, row, kept):
    client = serve(cache_rows=0)
    rows = [row | {"temp": number / 500} for number in range(400)]
    answers = client.post("/predict", json={"rows": rows}).json()["predictions"]
    alone = [client.post("/predict", json=rows[number]).json()["prediction"] for number in (0, 255, 399)]
    assert [answers[number]["prediction"] for number in (0, 255, 399)] == pytest.approx(alone)
    assert len(kept()) == 403


def test_a_row_that_the_model_fails_on_is_refused_by_itself(serve, row):
    client = serve(cache_rows=0)
    served = client.app.state.service.models.current
    scored = served.fast

    def fragile(rows):
        if any(one[served.schema.features.index("temp")] == 0.125 for one in rows):
            raise ValueError("the model cannot do this")
        return scored(rows)

    served.fast = fragile
    refused = client.post("/predict", json=row | {"temp": 0.125})
    assert refused.status_code == 422
    assert "can compute with" in refused.json()["errors"][0]["allowed"]
    served.fast = lambda rows: scored(rows) * float("inf")
    assert client.post("/predict", json=row).status_code == 422
    served.fast = scored
    assert client.post("/predict", json=row).status_code == 200
