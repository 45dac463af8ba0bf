"""A proxy in the environment is for the way out: what runs on this machine is reached without it."""

import os
from collections.abc import MutableMapping

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_EXCEPTIONS = ("NO_PROXY", "no_proxy")


def spare_loopback(environment: MutableMapping[str, str] | None = None) -> None:
    """Except the loopback from the proxies that the environment names, for this process and those that it starts.

    Some libraries read NO_PROXY, some no_proxy, and all read one of them. Without a proxy nothing changes.
    """
    environment = os.environ if environment is None else environment
    if not any(environment.get(name) or environment.get(name.upper()) for name in _PROXIES):
        return
    names = [name.strip() for key in _EXCEPTIONS for name in environment.get(key, "").split(",")]
    exceptions = ",".join(dict.fromkeys(name for name in [*names, *LOOPBACK] if name))
    for key in _EXCEPTIONS:
        environment[key] = "*" if "*" in names else exceptions
