"""The one place that knows secrets, and takes them out of whatever leaves the process.

Configuration and the doors to other systems `learn` each secret they are handed: a password, a token, or an address
that holds one. `redact` then replaces it, and every part of it that is secret by itself, in messages, records,
executed notebooks, pages, alerts and logs.
"""

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

MASK = "***"

ESCAPE = "In user and password, @ : / # ? % must be escaped: @ is %40."
"""What to do about an address that is read wrongly."""

SHORTEST = 4
"""Characters of the shortest part that is replaced wherever it stands; shorter ones would blank out ordinary words."""

_DELIMITERS = re.compile(r"[/@:#?&=%\[\]\s]+")
_LOGIN = re.compile(r"(?<=://)([^\s/@:'\"]*):(?!\$\{|\*{3}@)[^\s@'\"]+@")
_ORDINARY_OPTIONS = {"sslmode", "charset", "driver", "application_name", "connect_timeout", "options", "format"}
"""Options of an address whose values are ordinary words, such as ``sslmode=require``."""

_lock = threading.Lock()
_secrets: set[str] = set()
_pattern: re.Pattern[str] | None = None


def learn(secret: str, *, path: bool = False) -> None:
    """Remember ``secret``, a text or an address, for `redact`; an empty one is ignored.

    path: whether the path of the address is secret too, as that of a webhook is.
    """
    global _pattern
    parts = secret_parts(secret, path=path)
    with _lock:
        if parts <= _secrets:
            return
        _secrets.update(parts)
        longest_first = sorted(_secrets, key=lambda part: (-len(part), part))
        _pattern = re.compile("|".join(map(re.escape, longest_first)))


def forget() -> None:
    """Forget every secret; for tests, which share a process."""
    global _pattern
    with _lock:
        _secrets.clear()
        _pattern = None


def redact(text: str) -> str:
    """Return ``text`` with every secret that was learned, and every password in an address, as stars."""
    text = _pattern.sub(MASK, text) if _pattern else text
    return _LOGIN.sub(rf"\1:{MASK}@", text) if "://" in text else text


def redact_all(value: Any) -> Any:
    """Return ``value`` with every text in it redacted: plain values as JSON has them, keys of dictionaries aside."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(item) for item in value]
    return value


def secret_parts(secret: str, *, path: bool = False) -> set[str]:
    """Return the texts by which ``secret`` could be told: itself, and the secret parts of an address in every spelling.

    An address need not be a valid one: a password in which ``@ : / # ?`` are not escaped is cut at the wrong place by
    whoever reads it, so each piece of it counts.
    """
    scheme, mark, rest = secret.partition("://")
    if not mark and "@" not in secret:
        return {secret} if len(secret) >= SHORTEST else set()
    login, ordinary = _login(secret if mark else f"x://{secret}")
    pieces = [login.partition(":")[2]] if ":" in login else []
    if login and not pieces and scheme in ("http", "https"):
        pieces = [login]  # a token in place of user and password; in the address of a database it is the user
    pieces += _option_values(rest)
    if path:
        pieces += [piece for piece in urlsplit(secret).path.split("/") if len(piece) >= 2 * SHORTEST]
    spellings = {spelling for piece in pieces for spelling in _spellings(piece)}
    return {text for text in spellings - ordinary if len(text) >= SHORTEST and not text.isdigit()}


def _login(address: str) -> tuple[str, set[str]]:
    """Return ``user:password`` of an address, cut generously where it is not valid, and its ordinary words."""
    try:
        parts = urlsplit(address)
        valid = parts.port is None or parts.port > 0
    except ValueError:
        parts, valid = None, False
    if parts is not None and valid and "@" not in parts.netloc:
        return "", set()
    rest = address.partition("://")[2]
    login, _, host = rest.rpartition("@")
    if parts is not None and valid:
        login, _, host = parts.netloc.rpartition("@")
        host += parts.path
    ordinary = {login.partition(":")[0], *_DELIMITERS.split(host)} if ":" in login else set(_DELIMITERS.split(host))
    return login, ordinary


def _option_values(rest: str) -> Iterable[str]:
    for option in rest.partition("?")[2].partition("#")[0].split("&"):
        name, mark, value = option.partition("=")
        if mark and name.lower() not in _ORDINARY_OPTIONS:
            yield value


def _spellings(piece: str) -> set[str]:
    """Return a piece as it is written, decoded and encoded, whole and cut at the delimiters of an address."""
    whole = {piece, unquote(piece), unquote_plus(piece)}
    whole |= {encode(text, safe="") for text in list(whole) for encode in (quote, quote_plus)}
    return whole | {part for text in whole for part in _DELIMITERS.split(text)}


class RedactingFormatter(logging.Formatter):
    """A formatter whose lines, tracebacks included, hold no secret."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of the record, redacted."""
        return redact(super().format(record))


def install() -> None:
    """Have this process's own tracebacks and unconfigured log lines redacted; called where a command starts."""
    sys.excepthook = print_exception
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(RedactingFormatter())


def print_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback without secrets: what `sys.excepthook` is in Quire's own processes."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
