"""The service keeps its own OpenAPI document, whatever schemathesis sends."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("schemathesis", reason="The contract test needs schemathesis: pip install schemathesis.")


@pytest.mark.slow
def test_schemathesis_finds_nothing(start_server, promote, pipelines):
    promote(pipelines["linear"])
    server = start_server()
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--checks", checks]
    options = ["--max-examples", "30", "--seed", "1", "--phases", "examples,coverage,fuzzing", "--no-color"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.get("/health/ready")[0] == 200


def test_the_document_has_the_schemas_ranges_and_an_example(start_server, promote, pipelines, snapshot):
    promote(pipelines["linear"])
    row = start_server().get("/openapi.json")[1]["components"]["schemas"]["Row"]
    assert (row["properties"]["temp"]["minimum"], row["properties"]["temp"]["maximum"]) == (0, 1)
    assert row["additionalProperties"] is False
    (example,) = row["examples"]
    assert json.loads(json.dumps(example))["season"] in set("1234")
