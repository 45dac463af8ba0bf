"""The page's forms: what they hold, who may send them, and what comes back. No browser: see test_page.py."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from quire import artifacts, config, data, model, tracking
from quire.serve import form
from quire.serve.app import make_app
from quire.serve.middleware import COOKIE

ROOT = Path(__file__).parents[2]
KEY = "a-long-random-key"


@pytest.fixture
def keyed(serve, monkeypatch):
    """The application behind a key."""
    monkeypatch.setenv("QUIRE_API_KEYS", f"ann:{hashlib.sha256(KEY.encode()).hexdigest()}")
    return serve()


@pytest.fixture
def filled(row):
    return {form.PREFIX + name: str(value) for name, value in row.items()}


def test_a_form_that_was_sent_shows_its_values_again_and_the_prediction(serve, filled, kept):
    answer = serve().post("/", data=filled | {"f.temp": "0,25"})
    assert answer.status_code == 200
    assert "cnt is predicted to be" in answer.text
    assert 'value="0,25"' in answer.text
    assert kept(features=True).iloc[0]["features"]["temp"] == 0.25


def test_what_people_type_is_shown_as_text_and_never_as_html(serve, filled):
    answer = serve().post("/", data=filled | {"f.temp": '"><script>alert(1)</script>'})
    assert answer.status_code == 422
    assert "<script>" not in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_feedback_of_the_page_is_kept_and_thanked_for(serve, filled, kept):
    client = serve()
    client.post("/", data=filled)
    name = kept().iloc[0]["id"]
    sent = {form.ID_FIELD: name, form.ACTUAL_FIELD: "12.5"}
    assert "Thank you. What really happened is kept" in client.post("/feedback-form", data=sent).text
    assert kept().iloc[0]["actual"] == 12.5
    assert client.post("/feedback-form", data=sent | {form.ACTUAL_FIELD: "much"}).status_code == 422
    assert client.post("/feedback-form", data=sent | {form.ID_FIELD: "f" * 32}).status_code == 404


@pytest.mark.parametrize("path", ["/", "/feedback-form"])
def test_a_form_of_another_sites_page_is_refused(serve, filled, kept, path):
    client = serve()
    answer = client.post(path, data=filled, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "another site" in answer.text
    assert kept().empty
    assert client.post("/", data=filled, headers={"Origin": "http://testserver"}).status_code == 200


def test_without_the_key_the_page_asks_for_it_and_predicts_nothing(keyed, filled, kept):
    assert 'name="~key"' in keyed.get("/").text
    for sent in (filled, filled | {form.KEY_FIELD: "wrong"}):
        answer = keyed.post("/", data=sent)
        assert answer.status_code == 403
        assert "An API key is needed" in answer.text
    assert keyed.post("/feedback-form", data={form.ID_FIELD: "f" * 32, form.ACTUAL_FIELD: "1"}).status_code == 403
    assert kept().empty


def test_without_the_key_the_page_shows_nothing_of_the_data(keyed, snapshot):
    reference = model.describe_reference(snapshot[1].train, snapshot[0].schema)
    for shown in (
        keyed.get("/"),
        keyed.post("/", data={form.KEY_FIELD: "wrong"}),
        keyed.post("/feedback-form", data={}),
    ):
        assert "f.temp" not in shown.text
        assert f"{reference['values']['temp']:g}" not in shown.text
        assert "it learned from" not in shown.text
    opened = keyed.post("/", data={form.KEY_FIELD: KEY})
    assert opened.status_code == 200
    assert f'value="{reference["values"]["temp"]:g}"' in opened.text
    assert 'name="~key"' not in keyed.get("/").text  # the browser keeps it


def test_examples_are_medians_and_modes_and_no_row_of_the_data(keyed, snapshot):
    settings, ingested = snapshot
    example = keyed.get("/openapi.json").json()["components"]["schemas"]["Row"]["examples"][0]
    numbers = [name for name in example if settings.schema.columns[name].type == "number"]
    assert {name: example[name] for name in numbers} == pytest.approx(
        {name: ingested.train[name].quantile(0.5, interpolation="nearest") for name in numbers}
    )
    assert not (ingested.train[numbers] == [example[name] for name in numbers]).all(axis=1).any()


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://testserver:81"])
def test_no_page_of_another_site_can_use_the_key_that_the_browser_keeps(keyed, filled, row, origin, kept):
    keyed.post("/", data={form.KEY_FIELD: KEY})
    assert keyed.post("/", data=filled, headers={"Origin": origin}).status_code == 403
    assert keyed.post("/predict", json=row, headers={"Origin": origin}).status_code == 403
    text = {"Origin": origin, "Content-Type": "text/plain"}
    assert keyed.post("/predict", content=json.dumps(row), headers=text).status_code == 415
    assert kept().empty
    assert keyed.post("/predict", json=row).status_code == 200


@pytest.mark.parametrize("body", [b"&".join(b"f.%d=1" % number for number in range(60_000)), b"&" * 500_000, b"=" * 9])
def test_a_form_of_other_fields_than_the_page_has_is_refused(serve, body):
    answer = serve().post("/", content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code in (200, 422)
    if len(body) > 100:
        assert answer.status_code == 422


def test_a_good_key_is_kept_by_the_browser_out_of_reach_of_scripts(keyed, filled):
    answer = keyed.post("/", data=filled | {form.KEY_FIELD: KEY})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={KEY};")
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    assert KEY not in answer.text
    again = keyed.post("/", data=filled)
    assert again.status_code == 200
    assert 'name="~key"' not in again.text


def test_the_cookie_is_sent_over_tls_only_where_the_page_came_by_it(keyed, filled):
    keyed.base_url = "https://testserver"
    assert "Secure" in keyed.post("/", data=filled | {form.KEY_FIELD: KEY}).headers["set-cookie"]


def test_an_empty_page_before_the_first_champion_says_what_to_run(serve):
    answer = serve(champion=None).get("/")
    assert answer.status_code == 503
    assert "quire run" in answer.text
    assert "<form" not in answer.text


@pytest.fixture
def customers(tmp_path, empty_store, monkeypatch):
    """The application of shipped use case churn, which has two classes, a text as key and no timestamp."""
    shutil.copytree(ROOT / "params", tmp_path / "params")
    shutil.copytree(empty_store, tmp_path / "outputs")
    for name, value in (("QUIRE_OUTPUTS", tmp_path / "outputs"), ("QUIRE_DATA", tmp_path)):
        monkeypatch.setenv(name, str(value))
    settings, rng = config.load("churn", root=tmp_path), np.random.default_rng(0)
    columns = settings.schema.columns.items()
    frame = pd.DataFrame(
        {
            name: rng.choice(one.categories, 300) if one.categories else rng.random(300) * 50 // 1
            for name, one in columns
        }
    )
    frame.assign(customerID=[f"c{n}" for n in range(300)]).to_csv(tmp_path / "telco_churn.csv", index=False)
    ingested, registry = data.ingest(settings, test_share=0.2, current_share=0.1), tracking.open(settings)
    fitted = model.fit_candidate(ingested.train, settings.schema, "linear", config.Search(trials=1, folds=2))
    run = artifacts.open_stage(settings, str(tmp_path / "outputs/runs/20260301T120000000-abcd/artifacts/train"))
    example = model.model_input(ingested.train.tail(5), settings.schema)
    files = {"reference.json": run.save("reference", model.describe_reference(ingested.train, settings.schema))}
    logged = registry.log_candidate(
        run, fitted.pipeline, params={}, metrics=fitted.metrics, input_example=example, files=files
    )
    registry.promote({**logged, "params": {}, "metrics": fitted.metrics}, reason="test", run=run)
    with TestClient(make_app(settings)) as client:
        yield client


def test_two_classes_without_a_timestamp_have_a_page_and_a_probability(customers):
    empty = customers.get("/")
    assert empty.status_code == 200
    assert "it learned from 210 rows." in empty.text
    example = customers.get("/openapi.json").json()["components"]["schemas"]["Row"]["examples"][0]
    shown = customers.post("/", data={form.PREFIX + name: str(value) for name, value in example.items()})
    assert shown.status_code == 200, shown.text
    assert "Churn is predicted to be" in shown.text
    assert "The probability of Churn = Yes is" in shown.text
    assert "<option>No</option><option>Yes</option>" in shown.text
