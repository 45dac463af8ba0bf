"""Secrets are taken out of every text that leaves the process."""

import logging
import subprocess
import sys
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire import redaction
from quire.errors import ConfigError

PASSWORD = "Zw9!kLm2"


@pytest.mark.parametrize(
    "login",
    [
        "u:{}", "u:{}/b", "u:a@{}", "u:a:{}", "u:a@h:{}", "u:{}#b", "u:{}?b", "u:[{}", "u:{} b", "u:{}%zz", ":{}",
        "u:{}@b",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["postgresql+psycopg://", "http://", "https://", ""])
def test_a_password_is_hidden_wherever_an_address_is_cut(login, scheme):
    redaction.learn(f"{scheme}{login.format(PASSWORD)}@db.example.org:5432/prod")
    for text in (PASSWORD, f"invalid port: '{PASSWORD}'", f"host {PASSWORD}@db.example.org", quote(PASSWORD, safe="")):
        assert PASSWORD not in redaction.redact(text)
        assert quote(PASSWORD, safe="") not in redaction.redact(text)


def test_what_is_no_secret_of_an_address_stays():
    redaction.learn(f"postgresql://reader:{PASSWORD}@db.example.org:5432/prod?sslmode=require")
    text = "reader asked db.example.org:5432/prod with sslmode=require, 5432 rows"
    assert redaction.redact(text) == text


def test_a_password_that_is_also_the_user_or_the_host_does_not_blank_out_their_names():
    redaction.learn("postgresql://quire:quire@db/quire")
    assert redaction.redact("params/quire on db") == "params/quire on db"
    assert redaction.redact("postgresql://quire:quire@db/quire") == "postgresql://quire:***@db/quire"


def test_an_address_that_was_never_learned_loses_its_password_too():
    assert redaction.redact("see amqp://ann:x1@host/a and b") == "see amqp://ann:***@host/a and b"


def test_a_user_without_a_password_is_no_secret_and_a_token_in_its_place_is():
    redaction.learn("postgresql://quire@db/prod")
    redaction.learn("https://ghp0123456789@example.org/rows.csv")
    assert redaction.redact("quire asked with ghp0123456789") == "quire asked with ***"


def test_an_address_without_a_login_is_shown_as_it_is():
    redaction.learn("http://data.example.org:8080/users/@me/rows.csv")
    assert redaction.redact("users on data.example.org:8080") == "users on data.example.org:8080"


def test_the_values_of_a_signed_address_are_hidden():
    redaction.learn("https://b.s3.amazonaws.com/k.csv?X-Amz-Signature=0a1b2c3d4e&X-Amz-Expires=3600")
    assert redaction.redact("0a1b2c3d4e after 3600 s") == "*** after 3600 s"


def test_the_path_of_a_webhook_is_hidden():
    redaction.learn("https://hooks.example.org/services/T0000001/B0000002/abcdefghij", path=True)
    assert redaction.redact("POST /services/T0000001/B0000002/abcdefghij") == "POST /***/***/***/***"


def test_a_plain_secret_is_hidden():
    redaction.learn("tok-3n")
    assert redaction.redact("Bearer tok-3n") == "Bearer ***"


@pytest.mark.parametrize("secret", ["", "abc"])
def test_what_is_too_short_to_tell_from_a_word_changes_nothing(secret):
    redaction.learn(secret)
    assert redaction.redact("abc alphabet") == "abc alphabet"


def test_the_longest_secret_is_replaced_first():
    redaction.learn("secret")
    redaction.learn("secret-and-more")
    assert redaction.redact("secret-and-more, secret") == "***, ***"


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=8, max_size=30))
def test_any_password_is_hidden_however_it_is_written(password):
    if "u" in password or password.isdigit():
        return
    redaction.learn(f"http://u:{quote(password, safe='')}@127.0.0.1:1/d.csv")
    for spelling in (password, quote(password, safe="")):
        assert spelling not in redaction.redact(f"<<{spelling}>>") or spelling in "<<***>>"


def test_values_are_redacted_at_any_depth_and_keys_stay():
    redaction.learn("hush-hush")
    value = {"hush-hush": ["a hush-hush b", {"n": 1, "t": ("hush-hush", None)}]}
    assert redaction.redact_all(value) == {"hush-hush": ["a *** b", {"n": 1, "t": ["***", None]}]}


def test_an_error_of_ours_never_holds_a_secret():
    redaction.learn("hush-hush")
    assert str(ConfigError("the token hush-hush was refused")) == "the token *** was refused"


def test_a_log_line_and_its_traceback_hold_no_secret():
    redaction.learn("hush-hush")
    try:
        raise ValueError("hush-hush")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed with %s", ("hush-hush",), sys.exc_info())
    line = redaction.RedactingFormatter().format(record)
    assert "hush-hush" not in line
    assert "ValueError: ***" in line


def test_a_traceback_that_nobody_catches_holds_no_secret():
    code = (
        "from quire import redaction\nfrom quire.cli.main import main\n"
        "redaction.learn('hush-hush')\nredaction.install()\nraise ValueError('with hush-hush')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "ValueError: with ***" in done.stderr
    assert "hush-hush" not in done.stderr.replace("learn('hush-hush')", "")
