"""Edits between real runs: the new values arrive, whether a kernel is warm or not."""

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(shared_project):
    project = shared_project
    root = project.root
    for folder in ("data", "team", "lib/acme"):
        (root / folder).mkdir(parents=True)
    (root / "params" / "x" / "config.yaml").write_text("source: {kind: csv, path: data/prepared.csv}\n")
    (root / "data" / "raw.csv").write_text("t,y\n1,2\n")
    (root / "team" / "rates.py").write_text("RATE = 1\n")
    (root / "lib" / "acme" / "__init__.py").write_text("")
    (root / "lib" / "acme" / "models.py").write_text("class Model:\n    factor = 1.0\n")
    project.stage(
        "prepare", "import pandas as pd\npd.read_csv('data/raw.csv').to_csv('data/prepared.csv', index=False)"
    )
    project.stage(
        "ingest", "from quire import data\nrun.save('rows', len(data.read_source(settings).frame))", needs=["prepare"]
    )
    project.stage("rate", "import sys\nsys.path.insert(0, 'team')\nimport rates\nrun.save('rate', rates.RATE)")
    project.stage(
        "model", "import sys\nsys.path.append('lib')\nfrom acme import models\nrun.save('f', models.Model.factor)"
    )
    project.stage(
        "writer",
        "import pandas as pd\npd.DataFrame({'a': range(n)}).to_csv(f'{run_dir}/x.csv')\nrun.save('done', 1)",
        parameters="n = 3",
    )
    project.stage(
        "reader",
        "import pandas as pd\nrun.save('read', len(pd.read_csv(f'{run_dir}/../writer/x.csv')))",
        needs=["writer"],
    )
    return project


def changed(project):
    result = project.run(jobs=2)
    statuses = project.statuses(result)
    assert set(statuses.values()) <= {"succeeded", "reused"}, result.failures
    return result, {name for name, status in statuses.items() if status == "succeeded"}


def test_each_edit_reruns_the_stage_that_it_reaches_with_the_new_value_and_no_other(project):
    """The source is made by the first stage, and is not there before."""
    root = project.root
    result, ran = changed(project)
    assert ran == set(project.stages)
    assert changed(project)[1] == set()

    (root / "data" / "raw.csv").write_text("t,y\n1,2\n3,4\n")
    result, ran = changed(project)
    assert ran == {"prepare", "ingest"}
    assert project.artifact(result, "ingest", "rows") == 2

    (root / "team" / "rates.py").write_text("RATE = 2\n")
    (root / "lib" / "acme" / "models.py").write_text("class Model:\n    factor = 1.5\n")
    result, ran = changed(project)
    assert ran == {"rate", "model"}
    assert project.artifact(result, "rate", "rate") == 2
    assert project.artifact(result, "model", "f") == 1.5
    assert result.record["stages"]["rate"]["why"] == "changed: team/rates.py"

    project.params(writer={"n": 5})
    result, ran = changed(project)
    assert ran == {"writer", "reader"}
    assert project.artifact(result, "reader", "read") == 5
    assert result.record["stages"]["reader"]["why"] == "changed: writer/x.csv"

    (root / "data" / "prepared.csv").unlink()
    result, ran = changed(project)
    assert {"prepare", "ingest"} >= ran >= {"prepare"}
    assert project.artifact(result, "ingest", "rows") == 2
    assert changed(project)[1] == set()
