"""Imports that cost seconds and bring nothing here."""

import sys


def skip_iri_grammar() -> None:
    """Keep jsonschema from parsing a grammar for IRIs at import, which takes over two seconds; notebooks have none.

    To be called before nbformat is first imported. jsonschema takes the grammar's absence for an option not installed.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
