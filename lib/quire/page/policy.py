"""What a browser lets a page do: show itself, run our own script, and send nothing anywhere."""

import base64
import hashlib
from functools import cache

CONTENTS_SCRIPT = """
if (matchMedia("(max-width: 68rem)").matches) document.querySelector(".contents details")?.removeAttribute("open");
"""
"""The only script of our pages. Earlier reports hold the same text: if it changes, the policy needs both hashes."""


@cache
def page_policy() -> str:
    """Return the Content-Security-Policy of a report, a run's index or any other page that stands alone.

    Style and pictures come with the page, our own script is known by its hash, and nothing is fetched or sent. So a
    script in a notebook's output, be it markup from the data or a plotting library's, does not run in a report; it does
    where the executed notebook is opened in JupyterLab.
    """
    digest = base64.b64encode(hashlib.sha256(CONTENTS_SCRIPT.encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; font-src data:; "
        f"script-src 'sha256-{digest}'; connect-src 'none'; form-action 'none'; base-uri 'none'"
    )
