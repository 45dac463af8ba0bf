"""Where a redirect may lead, and what goes along: of downloads, and of questions to MLflow's server."""

import contextlib
import datetime
import http.server
import ipaddress
import json
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.loopback import listening

from quire import config
from quire.errors import DataError, ServiceError
from quire.io import download, outside_state

ROOT = Path(__file__).parents[2]
CHAMPION = json.dumps({"model_version": {"version": "7", "run_id": "r"}}).encode()
CODES = (301, 302, 303, 307, 308)


@contextlib.contextmanager
def server(answer, certificate=None):
    """Serve what `answer(path)` returns, (status, location), on the loopback; yields host:port and the requests."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            status, location = answer(self.path)
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(0 if location else len(CHAMPION)))
            self.end_headers()
            if self.command == "GET" and not location:
                self.wfile.write(CHAMPION)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with listening(Handler, context) as address:
        yield address, seen


def final(_):
    return 200, None


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of the loopback with its key, made here."""
    x509 = pytest.importorskip("cryptography.x509", reason="needs cryptography: make setup")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = (
        built.serial_number(1)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
    )
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = built.add_extension(loopback, critical=False).sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "QUIRE_ALIAS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path))
    return config.load("demo", root=ROOT)


@pytest.fixture(params=["chunks", "describe", "champion"])
def ask(request, settings):
    """A function that asks an address by one of the three doors that follow redirects."""
    if request.param == "champion":

        def champion(url):
            tracking = settings.config.tracking.model_copy(update={"uri": SecretStr(url)})
            changed = settings.config.model_copy(update={"tracking": tracking})
            return outside_state.champion(replace(settings, config=changed))

        return champion
    return {"chunks": lambda url: list(download.chunks(url)), "describe": download.describe}[request.param]


@pytest.mark.parametrize("code", CODES)
def test_credentials_go_along_on_the_same_server_alone(ask, code):
    with server(final) as (other, taken):
        for target, goes in (("/moved", True), (f"http://{other}/moved", False), (f"//{other}/moved", False)):
            with server(lambda path, to=target: (200, None) if path == "/moved" else (code, to)) as (first, asked):
                taken.clear()
                ask(f"http://me:hunter2@{first}/x.csv")
                reached = asked[-1] if goes else taken[-1]
                assert asked[0][1].startswith("Basic ")
                assert reached[0] == "/moved"
                assert (reached[1] == asked[0][1]) is goes
                assert goes or reached[1] is None


@pytest.mark.parametrize("code", CODES)
def test_a_redirect_from_https_to_http_is_refused(ask, code, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with server(final) as (plain, taken):
        leads = f"http://{plain}/moved?secret=hunter2"
        with server(lambda _: (code, leads), certificate) as (first, asked):
            with pytest.raises((DataError, ServiceError), match="it redirects from https to http") as caught:
                ask(f"https://me:hunter2@{first}/x.csv")
            assert len(asked) == 1
    assert taken == []
    assert "hunter2" not in str(caught.value)


def test_a_redirect_that_stays_on_https_is_followed(ask, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with server(lambda path: final(path) if path == "/moved" else (302, "/moved"), certificate) as (first, asked):
        ask(f"https://me:hunter2@{first}/x.csv")
    assert asked[-1][0] == "/moved"
    assert asked[-1][1] == asked[0][1]
    assert asked[0][1].startswith("Basic ")
