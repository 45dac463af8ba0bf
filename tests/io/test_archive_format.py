"""What comes from an archive is of the known form, or an ArchiveError that says what to do."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import ArchiveError
from quire.io import archive_format
from quire.io.archive_format import LeaseHolder, Malformed, Manifest, MirrorList, RunHeader, StageNote, parse

SHA = "ab" * 32
BAD_PATHS = [
    "", ".", "..", "/", "/etc/passwd", "../x", "a/../../x", "a/..", "./a", "a//b", "a/", "C:/x", "c:x", "a\\..\\x",
    "\\\\host\\x", "a\0b", "a\nb", "\x7f", "a" * 256, "a/" * 600 + "b", "\ud800", "a/./b",
]  # fmt: skip
BAD_HASHES = ["", SHA[:-1], SHA + "0", SHA.upper(), "g" * 64, SHA + "\n", "../" + SHA, None, 7, [SHA]]
BAD_RUNS = ["", ".", "..", "../..", "a/b", "a\\b", "/a", "a b", "a\n", ".a", "-a", "a" * 65, "é", "a\0"]


def manifest(path="a.txt", sha256=SHA, size_bytes=1, **more):
    return {"run_id": "r", "files": {path: {"sha256": sha256, "size_bytes": size_bytes, **more}}}


def text(content):
    return json.dumps(content).encode()


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_leads_elsewhere_is_refused_wherever_it_stands(path):
    for kind, content in (
        (Manifest, manifest(path)),
        (MirrorList, {"machine": "m", "run_id": "r", "files": {path: {"sha256": SHA, "bytes": 1}}}),
        (StageNote, {"run_id": "r", "artifacts": [{"name": path, "sha256": SHA, "bytes": 1}]}),
        *([(Manifest, manifest(key=path))] if path else []),
    ):
        with pytest.raises(Malformed, match=r"^s3://a/x is not what Quire writes: .*who may write to the archive"):
            parse(kind, text(content), where="s3://a/x")


@pytest.mark.parametrize("path", ["a", "a/b.txt", "artifacts/train/model/ü.json", "a..b/...c", ".hidden", "-x", "a b"])
def test_a_path_below_its_folder_is_taken(path):
    assert list(parse(Manifest, text(manifest(path)), where="x").files) == [path]


@pytest.mark.parametrize("sha256", BAD_HASHES)
def test_a_hash_is_64_hexadecimal_digits(sha256):
    with pytest.raises(Malformed):
        parse(Manifest, text(manifest(sha256=sha256)), where="x")
    listed = {"machine": "m", "run_id": "r", "files": {"a": {"sha256": sha256, "bytes": 1}}}
    with pytest.raises(Malformed):
        parse(MirrorList, text(listed), where="x")


@pytest.mark.parametrize("size", [-1, 1.5, "1", True, None, 2**60, 10**400])
def test_a_size_is_a_number_that_a_file_can_have(size):
    with pytest.raises(Malformed):
        parse(Manifest, text(manifest(size_bytes=size)), where="x")


@pytest.mark.parametrize("run_id", BAD_RUNS)
def test_the_name_of_a_run_is_no_path(run_id):
    with pytest.raises(Malformed):
        parse(StageNote, text({"run_id": run_id}), where="x")
    with pytest.raises(ArchiveError, match=r"is no name of a run.*quire fetch --list"):
        archive_format.run_name(run_id)


@pytest.mark.parametrize("run_id", ["20261120T060000123-aaaa", "20261120T0600Z-aa", "a"])
def test_the_name_of_a_run_is_taken(run_id):
    assert archive_format.run_name(run_id) == run_id


HOSTILE = [
    b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"[" * 10**6, b'{"files":' * 10**5, b'{"files": null}',
    b'{"files": []}', b'{"files": {"a": null}}', b'{"files": {"a": {}}}', b'{"files": {"a": [1]}}', b"{}x",
    b'{"files": {"a": {"sha256": NaN}}}', b'{"files": 1e999}', b'{"owner": 7}', b'{"owner": "a\\u0000"}',
    b'{"run_id": 7}', b'{"run_id": "a", "inputs": {"x": 7}}', b'{"run_id": "a", "seconds": Infinity}',
]  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", [Manifest, MirrorList, StageNote, LeaseHolder])
def test_content_of_another_kind_is_an_archive_error(kind, content):
    with pytest.raises(Malformed, match="is not what Quire writes"):
        parse(kind, content, where="s3://a/x")


WORDS = st.sampled_from(["files", "a", "sha256", "size_bytes", "bytes", "key", "run_id", "owner", "..", SHA, "outputs"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(
    content=JSON.map(text) | st.binary(),
    kind=st.sampled_from([Manifest, MirrorList, StageNote, LeaseHolder, RunHeader]),
)
def test_whatever_an_object_holds_is_parsed_or_an_archive_error(content, kind):
    message, files = "", {}
    try:
        files = getattr(parse(kind, content, where="s3://a/x"), "files", {})
    except ArchiveError as error:
        message = str(error)
    assert not message or message.isprintable()
    assert len(message) < 3000
    assert all((Path("/base") / path).resolve().is_relative_to("/base") for path in files)


def test_a_link_on_the_way_is_refused(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "run").symlink_to(tmp_path / "outside")
    with pytest.raises(ArchiveError, match="is a link"):
        archive_format.place_below(tmp_path / "base", "run/a.txt")
    (tmp_path / "moved").symlink_to(tmp_path / "base")
    assert archive_format.place_below(tmp_path / "moved", "b/a.txt") == tmp_path / "moved" / "b" / "a.txt"
