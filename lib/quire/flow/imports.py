"""Imports that cost seconds and bring nothing here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


def skip_iri_grammar() -> None:
    """Keep jsonschema from parsing a grammar for IRIs at import, which takes over two seconds; notebooks have none.

    To be called before nbformat is first imported. jsonschema takes the grammar's absence for an option not installed.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


@contextmanager
def without_remote_files() -> Iterator[None]:
    """Keep papermill, imported in this block, from importing boto3 and pyarrow, half of what its import takes.

    It reads notebooks from S3 and HDFS with them; here notebooks are files. It takes their absence for an option not
    installed. What has been imported already stays.
    """
    skipped = [name for name in ("papermill.s3", "pyarrow.fs") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(skipped))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in skipped:
            del sys.modules[name]
