"""The service over HTTP, in this process, on a real registry and a real database."""

import hashlib
import json
import random
import shutil
import time

import pytest

from quire import tracking
from quire.io import database
from quire.io.model_files import SHA256_TAG

KEY = "a-long-random-key"


def test_one_row_gets_one_prediction_that_is_kept(serve, row, kept):
    answer = serve().post("/predict", json=row, headers={"X-Request-ID": "abc-1"})
    found = answer.json()
    assert answer.status_code == 200
    assert (found["model_name"], found["model_version"], found["request_id"]) == ("demo", "1", "abc-1")
    (logged,) = kept(features=True).to_dict("records")
    assert logged["id"] == found["prediction_id"]
    assert logged["prediction"] == pytest.approx(found["prediction"])
    assert logged["row_key"] == row["timestamp"]
    assert logged["features"]["temp"] == row["temp"]
    assert (logged["request_id"], logged["source"]) == ("abc-1", "service")


def test_many_rows_get_many_predictions_in_their_order(serve, requests, kept):
    rows = [json.loads(body) for body, _ in requests[:5]]
    client = serve()
    together = client.post("/predict", json={"rows": rows}).json()["predictions"]
    alone = [client.post("/predict", json=row).json() for row in rows]
    assert [one["prediction"] for one in together] == pytest.approx([one["prediction"] for one in alone])
    assert len(kept()) == 10


def test_a_row_twice_in_one_request_is_two_predictions(serve, row, kept):
    serve().post("/predict", json={"rows": [row, row]})
    assert len(kept()) == 2


def test_a_half_valid_request_predicts_nothing(serve, row, kept):
    answer = serve().post("/predict", json={"rows": [row, row | {"temp": 7}]})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["row"], error["field"], error["sent"]) == (1, "temp", 7)
    assert error["allowed"].startswith("a number from 0 to 1")
    assert kept().empty


def test_a_category_that_training_lacked_is_predicted_with_a_warning(serve, row, snapshot):
    unseen = set("1234") - set(snapshot[1].train["weathersit"].dropna())
    if not unseen:
        pytest.skip("The short demo has all kinds of weather; make it shorter to try this.")
    answer = serve().post("/predict", json=row | {"weathersit": unseen.pop()}).json()
    assert "did not occur in training" in answer["warnings"][0]


def test_an_explanation_gives_the_effect_of_each_feature_against_its_normal_value(serve, row):
    client = serve()
    found = client.post("/predict?explain=true", json=row).json()
    largest = found["effects"][0]
    changed = client.post("/predict", json=row | {largest["feature"]: largest["normal"]}).json()
    assert largest["effect"] == pytest.approx(found["prediction"] - changed["prediction"])
    assert abs(largest["effect"]) >= abs(found["effects"][-1]["effect"])


def test_feedback_is_recorded_repeated_changed_or_not_found(serve, row, kept):
    client = serve()
    name = client.post("/predict", json=row).json()["prediction_id"]
    said = [client.post("/feedback", json={"prediction_id": name, "actual": actual}) for actual in (5, 5, 6)]
    assert [one.json()["status"] for one in said] == ["recorded", "repeated", "changed"]
    assert kept().iloc[0]["actual"] == 6
    unknown = client.post("/feedback", json={"prediction_id": "f" * 32, "actual": 5})
    assert (unknown.status_code, unknown.json()["status"]) == (404, "unknown")


def test_feedback_on_many_says_what_became_of_each(serve, row):
    client = serve()
    name = client.post("/predict", json=row).json()["prediction_id"]
    said = [{"prediction_id": name, "actual": 5}, {"prediction_id": "f" * 32, "actual": 5}]
    answer = client.post("/feedback", json={"feedback": said})
    assert answer.status_code == 200
    assert [one["status"] for one in answer.json()["results"]] == ["recorded", "unknown"]


@pytest.mark.parametrize("actual", ["many", None, True, [1]])
def test_feedback_that_the_target_cannot_be_is_refused(serve, actual):
    answer = serve().post("/feedback", json={"prediction_id": "f" * 32, "actual": actual})
    assert answer.status_code == 422
    assert "a number" in answer.json()["errors"][0]["allowed"]


def test_feedback_finds_a_prediction_that_a_fast_log_has_just_taken(serve, row):
    client = serve(durability="fast")
    name = client.post("/predict", json=row).json()["prediction_id"]
    assert client.post("/feedback", json={"prediction_id": name, "actual": 5}).json()["status"] == "recorded"


def test_without_a_champion_it_lives_but_is_not_ready_and_says_why(serve, row):
    client = serve(champion=None)
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 503
    answer = client.post("/predict", json=row)
    assert answer.status_code == 503
    assert "has no champion" in answer.json()["error"]
    assert answer.headers["retry-after"]


def test_the_model_is_described(serve, snapshot):
    found = serve().get("/model").json()
    assert (found["name"], found["version"], found["target"]) == ("demo", "1", "cnt")
    assert found["trained_on"]["rows"] == len(snapshot[1].train)
    assert found["metrics"] == {"r2": 0.9}
    assert found["schema"]["season"] == "1, 2, 3, 4"


def test_figures_are_there_for_prometheus(serve, row):
    client = serve()
    client.post("/predict", json=row)
    client.post("/predict", json=row)
    text = client.get("/metrics").text
    assert 'quire_predictions_total{source="service",version="1"} 2.0' in text
    assert "quire_predictions_cached_total 1.0" in text
    assert 'quire_requests_total{path="/predict",status="200"} 2.0' in text


def test_refused_predictions_are_counted_in_the_database_for_monitoring(serve, row, settings, monkeypatch):
    monkeypatch.setattr("quire.serve.service.ERRORS_EVERY_S", 0.05)
    client, store = serve(), database.open(settings.database_url)
    assert client.post("/predict", json=row).status_code == 200
    for _ in range(3):
        assert client.post("/predict", json={"no": "row"}).status_code == 422
    until = time.monotonic() + 20
    while store.metrics("demo", name="service_errors")["value"].sum() < 3 and time.monotonic() < until:
        time.sleep(0.05)
    found = store.metrics("demo", name="service_errors")
    assert found["value"].sum() == 3
    assert set(found["segment"]) == {"422"}


def test_with_keys_only_who_has_one_is_answered(serve, row, monkeypatch):
    monkeypatch.setenv("QUIRE_API_KEYS", f"ann:{hashlib.sha256(KEY.encode()).hexdigest()}")
    client = serve()
    assert client.post("/predict", json=row).status_code == 401
    assert client.post("/predict", json=row, headers={"X-API-Key": "wrong"}).status_code == 401
    assert client.post("/predict", json=row, headers={"X-API-Key": KEY}).status_code == 200
    assert client.post("/predict", json=row, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert client.get("/metrics").status_code == 401
    assert client.get("/health/ready").status_code == 200


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(serve):
    client = serve(max_body_bytes=2048)
    assert client.post("/predict", content=b"x" * 3000).status_code == 413
    assert client.post("/predict", content=(b"x" * 1000 for _ in range(3))).status_code == 413


def test_more_rows_than_allowed_are_refused(serve, row):
    answer = serve(max_rows=2).post("/predict", json={"rows": [row] * 3})
    assert answer.status_code == 422
    assert "1 to 2" in answer.json()["errors"][0]["allowed"]


def test_who_asks_too_often_is_told_when_to_come_again(serve):
    client = serve(rate_limit=1.0, rate_burst=3)
    statuses = [client.get("/model").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert int(client.get("/model").headers["retry-after"]) >= 1
    assert client.get("/health").status_code == 200


def test_other_sites_may_not_read_answers_unless_config_says_so(serve, row):
    origin = {"Origin": "https://app.example"}
    assert "access-control-allow-origin" not in serve().post("/predict", json=row, headers=origin).headers
    client = serve(champion=None, cors_origins=("https://app.example",))
    assert client.get("/health", headers=origin).headers["access-control-allow-origin"] == "https://app.example"


def test_logs_hold_no_payloads(serve, row, caplog):
    client = serve(access_log=True)
    with caplog.at_level("INFO", logger="quire"):
        client.post("/predict", json=row | {"temp": 0.123456})
        client.post("/predict", json=row | {"temp": "SECRET"})
    lines = [getattr(record, "fields", {}) for record in caplog.records if record.name == "quire.serve.access"]
    assert [line["status"] for line in lines] == [200, 422]
    assert "0.123456" not in caplog.text + str(lines)
    assert "SECRET" not in caplog.text + str(lines)


def test_a_challenger_is_predicted_and_kept_but_never_answered(serve, row, promote, pipelines, kept):
    client = serve()
    promote(pipelines["random_forest"], alias="challenger")
    wait_until(lambda: client.get("/health").json()["challenger"]["version"] == "2")
    answer = client.post("/predict", json=row).json()
    assert answer["model_version"] == "1"
    wait_until(lambda: len(kept(source="shadow")) == 1)
    assert set(kept(source="shadow")["model_version"]) == {"2"}
    assert list(kept()["id"]) == [answer["prediction_id"]]


def test_a_new_champion_that_does_not_load_leaves_the_old_one_and_says_so(serve, row, promote, pipelines, monkeypatch):
    from quire.io import model_files

    client = serve()

    def broken(folder, **_):
        raise OSError("the file is cut off")

    monkeypatch.setattr(model_files, "load_model", broken)
    promote(pipelines["random_forest"])
    wait_until(lambda: client.get("/health").json()["status"] == "degraded")
    (problem,) = client.get("/health").json()["problems"]
    assert "Version 2 is not served, version 1 is served still" in problem
    assert "the file is cut off" in problem
    assert client.post("/predict", json=row).json()["model_version"] == "1"


def test_a_new_champion_that_disagrees_with_its_own_input_example_leaves_the_old_one(
    serve, row, promote, pipelines, settings
):
    client, registry = serve(), tracking.open(settings)
    version = promote(pipelines["hist_gradient_boosting"], alias="staged")
    shutil.copy(registry.folder(registry.champion()) / "model.skops", registry.folder(version) / "model.skops")
    registry.client.delete_model_version_tag("demo", version.version, SHA256_TAG)  # as before versions were signed
    registry.client.set_registered_model_alias("demo", "champion", version.version)
    wait_until(lambda: client.get("/health").json()["status"] == "degraded")
    (problem,) = client.get("/health").json()["problems"]
    assert "Version 2 is not served, version 1 is served still" in problem
    assert "disagrees with its own input example" in problem
    assert client.post("/predict", json=row).json()["model_version"] == "1"


def test_ten_thousand_malformed_bodies_are_refused_and_it_still_answers(serve, row):
    client, rng = serve(cache_rows=0), random.Random(0)
    whole = json.dumps({"rows": [row]}).encode()
    seen = set()
    for number in range(10_000):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        body = bytes(body[: rng.randrange(1, len(body))]) if number % 2 else bytes(body) + b"}"
        seen.add(client.post("/predict" if number % 3 else "/feedback", content=body).status_code)
    assert seen <= {404, 422}
    assert client.post("/predict", json=row).status_code == 200


def wait_until(condition):
    import time

    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
