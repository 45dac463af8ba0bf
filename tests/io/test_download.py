import hashlib
import http.server
import threading

import pytest

from quire.errors import DataError
from quire.io import download

BODY = b"order,sold\n0012,3\n" * 10_000


@pytest.fixture
def website():
    """A server on loopback; returns its address and the files it gives: path -> (bytes, headers)."""
    files = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body, headers = files.get(self.path, (None, {}))
            self.send_response(404 if body is None else 200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    server.server_close()


def test_a_file_is_fetched_and_removed_after(website):
    url, files = website
    files["/shop.csv"] = (BODY, {})
    with download.fetched(f"{url}/shop.csv") as path:
        assert path.name == "shop.csv"
        assert path.read_bytes() == BODY
    assert not path.exists()


def test_the_checksum_is_checked(website):
    url, files = website
    files["/shop.csv"] = (BODY, {})
    right = hashlib.sha256(BODY).hexdigest()
    with download.fetched(f"{url}/shop.csv", sha256=right.upper()) as path:
        assert path.exists()
    with (
        pytest.raises(DataError, match=f"has the SHA-256 {right}, but config.yaml"),
        download.fetched(f"{url}/shop.csv", sha256="0" * 64),
    ):
        pass


@pytest.mark.parametrize(
    ("path", "message"), [("/x.csv?token=hunter2", "answered 404 Not Found"), ("", "cannot be read")]
)
def test_a_failure_is_told_without_secrets(website, path, message):
    url = website[0] + path if path else "http://me:hunter2@127.0.0.1:1/x.csv"
    with pytest.raises(DataError, match=message) as caught:
        list(download.chunks(url))
    assert "hunter2" not in str(caught.value)


def test_the_version_is_what_the_server_says_of_it(website):
    url, files = website
    files["/a.csv"] = (BODY, {"ETag": '"1"'})
    files["/b.csv"] = (BODY, {})
    assert download.describe(f"{url}/a.csv") == {"etag": '"1"', "content-length": str(len(BODY))}
    assert download.describe(f"{url}/b.csv") == {}
    with pytest.raises(DataError, match="cannot be reached"):
        download.describe("http://127.0.0.1:1/a.csv")
