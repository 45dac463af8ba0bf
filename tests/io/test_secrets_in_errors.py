"""No door to another system tells a password, however wrongly the address is written."""

import traceback
from types import SimpleNamespace

import pytest

from quire.config import SqlSource
from quire.errors import QuireError
from quire.io import database, download, query, storage, tracking_store

PASSWORD = "S3cr3tPw"
FORMS = {
    "plain": f"u:{PASSWORD}@127.0.0.1:1",
    "slash": f"u:{PASSWORD}/b@127.0.0.1:1",
    "at": f"u:a@{PASSWORD}@127.0.0.1:1",
    "colon": f"u:a:{PASSWORD}@127.0.0.1:1",
    "at and colon": f"u:a@h:{PASSWORD}@127.0.0.1:1",
    "hash": f"u:{PASSWORD}#b@127.0.0.1:1",
    "question mark": f"u:{PASSWORD}?b@127.0.0.1:1",
    "bracket": f"u:[{PASSWORD}@127.0.0.1:1",
    "space": f"u:{PASSWORD} b@127.0.0.1:1",
    "percent": f"u:{PASSWORD}%zz@127.0.0.1:1",
    "no host": f"u:{PASSWORD}@",
    "no port": f"u:{PASSWORD}@127.0.0.1:port",
}


def ask_sql(login, folder):
    with query.opened(SqlSource(kind="sql", url=f"postgresql+psycopg://{login}/db", query="select 1"), None, folder):
        pass


DOORS = {
    "SQL source": ask_sql,
    "database": lambda login, folder: database.open(f"postgresql://{login}/db", timeout_s=2),
    "version of a file": lambda login, folder: download.describe(f"http://{login}/d.csv?sig={PASSWORD}"),
    "content of a file": lambda login, folder: list(download.chunks(f"http://{login}/d.csv?sig={PASSWORD}")),
    "MLflow server": lambda login, folder: tracking_store.connect(SimpleNamespace(tracking_uri=f"http://{login}")),
    "archive": lambda login, folder: storage.open("s3://quire/a", f"http://{login}").exists("x"),
}


@pytest.mark.parametrize("login", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_an_error_and_its_traceback_hold_no_password(door, login, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "ATTEMPTS", 1)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with pytest.raises(QuireError) as caught:
        door(login, tmp_path)
    told = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in "\n".join(line for line in told.splitlines() if not line.lstrip().startswith("File "))


@pytest.mark.parametrize("form", ["at and colon", "no port"])
def test_the_address_of_mlflows_database_is_not_quoted(form):
    with pytest.raises(QuireError, match="must be escaped") as caught:
        tracking_store.connect(SimpleNamespace(tracking_uri=f"postgresql+psycopg://{FORMS[form]}/db"))
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
