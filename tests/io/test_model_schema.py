"""A file that names what no model needs is refused before anything is made of it, whatever kind of node names it."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from skops.io._audit import NODE_TYPE_MAPPING
from skops.io._protocol import PROTOCOL

from quire.errors import ModelError
from quire.io import model_files, model_schema


def node(loader, name, **fields):
    module, _, cls = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": cls, **fields}


def value(content):
    return node("JsonNode", "builtins.str", content=json.dumps(content), is_json=True)


def of(loader, name, *items):
    return node(loader, name, content=list(items))


def mapping(name="builtins.dict", keys="builtins.str", **items):
    types = of("ListNode", "builtins.list", *[node("TypeNode", keys) for _ in items])
    return node("DictNode", name, content=items, key_types=types)


def tuple_of(*items):
    return of("TupleNode", "builtins.tuple", *items)


def write(folder, root, members=(), protocol=PROTOCOL, compression=zipfile.ZIP_STORED):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / model_files.PIPELINE, "w", compression) as archive:
        text = root if isinstance(root, str) else json.dumps({**root, "protocol": protocol, "_skops_version": "0"})
        archive.writestr("schema.json", text)
        for name, content in members:
            archive.writestr(name, content)
    return folder


def array(values):
    content = io.BytesIO()
    np.save(content, np.asarray(values), allow_pickle=True)
    return content.getvalue()


STORED = node("NdArrayNode", "numpy.ndarray", type="numpy", file="1.npy")
PATH = "quire.model.workers.Path"
NAMES = [
    "os.system", "builtins.eval", "builtins.open", "subprocess.Popen", "pathlib.Path", "shutil.rmtree",
    # Names that a trusted module reaches, and their methods.
    PATH, f"{PATH}.write_text", "quire.model.workers.on_workers", "quire.model.workers.hashlib", "sklearn.os.system",
    "quire.model.train.fit_candidate", "quire.model.by_segment.model_files", "quire.model.by_segment.Pipeline",
    "sklearn.utils.validation.warnings.warn", "functools.partial.__new__", "numpy.load", "numpy.f2py.os",
    # Trusted in another place than that, or by the name of another module.
    "sklearn.pipeline.ColumnTransformer", "quire.model.by_segment.BySegment.fit", "builtins.dict.fromkeys",
]  # fmt: skip

KINDS = {
    "BytearrayNode": lambda name: node("BytearrayNode", name, file="1.npy"),
    "BytesNode": lambda name: node("BytesNode", name, file="1.npy"),
    "CachedNode": lambda name: node("CachedNode", name),
    "ConstructorFromReduceNode": lambda name: node("ConstructorFromReduceNode", name, content=tuple_of(value("x"))),
    "DTypeNode": lambda name: node("DTypeNode", name, content=STORED),
    "DefaultDictNode": lambda name: node(
        "DefaultDictNode", "collections.defaultdict",
        content={"main": mapping(), "default_factory": node("TypeNode", name)},
    ),
    "DictNode": lambda name: mapping(name),
    "FunctionNode": lambda name: node("FunctionNode", name),
    "ListNode": lambda name: of("ListNode", name, value("x")),
    "LossNode": lambda name: node("LossNode", name, __reduce__={"args": tuple_of()}, content=mapping()),
    "MaskedArrayNode": lambda name: node("MaskedArrayNode", name, content={"data": STORED, "mask": STORED}),
    "MethodNode": lambda name: node(
        "MethodNode", PATH,
        content={"func": name.rpartition(".")[2], "obj": node("ConstructorFromReduceNode", PATH, content=tuple_of())},
    ),
    "NdArrayNode": lambda name: node("NdArrayNode", name, type="numpy", file="1.npy"),
    "ObjectNode": lambda name: node("ObjectNode", name, content=mapping(x=value(1))),
    "OperatorFuncNode": lambda name: node("OperatorFuncNode", "operator.methodcaller", attrs=tuple_of(value(name))),
    "PartialNode": lambda name: node(
        "PartialNode", "functools.partial",
        content={
            "func": node("FunctionNode", name), "args": tuple_of(), "kwds": mapping(), "namespace": mapping(),
        },
    ),
    "RandomGeneratorNode": lambda name: node(
        "RandomGeneratorNode", "numpy.random._generator.Generator",
        content={"bit_generator": mapping(bit_generator=value(name)), "seed_seq": mapping()},
    ),
    "RandomStateNode": lambda name: node("RandomStateNode", name, content=mapping()),
    "SetNode": lambda name: of("SetNode", name, value("x")),
    "SliceNode": lambda name: node("SliceNode", name, content={"start": 0, "stop": 1, "step": None}),
    "SparseMatrixNode": lambda name: node("SparseMatrixNode", name, type="scipy", file="1.npy"),
    "TreeNode": lambda name: node("TreeNode", name, __reduce__={"args": tuple_of()}, content=mapping()),
    "TupleNode": lambda name: of("TupleNode", name, value("x")),
    "TypeNode": lambda name: node("TypeNode", name),
    "key_types": lambda name: mapping(keys=name, x=value(1)),
    "key_types of another kind": lambda name: node(
        "DictNode", "builtins.dict", content={"x": value(1)},
        key_types=of("ListNode", "builtins.list", node("FunctionNode", name)),
    ),
}  # fmt: skip
"""A node of each kind that makes something of a name; the name is the attacker's."""


def test_every_kind_of_node_that_skops_knows_is_among_them():
    known = {loader for loader, _ in NODE_TYPE_MAPPING}
    assert known - {"JsonNode", "QuantileForestNode", "_DictWithDeprecatedKeysNode"} == {
        kind for kind in KINDS if kind.endswith("Node")
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_foreign_name_is_refused_before_anything_is_made(kind, name, tmp_path, monkeypatch):
    monkeypatch.setattr(skops.io, "loads", lambda *args, **options: pytest.fail("something was made of it"))
    write(tmp_path / "m", mapping(x=KINDS[kind](name)), [("1.npy", array([1.0]))])
    with pytest.raises(ModelError, match=r"not trusted|tampered with or damaged"):
        model_files.load_model(tmp_path / "m")


def test_a_file_is_not_written_by_a_method_behind_a_trusted_module(tmp_path):
    target = tmp_path / "written"
    path = node("ConstructorFromReduceNode", PATH, content=tuple_of(value(str(target))))
    method = node("MethodNode", PATH, content={"func": "write_text", "obj": path})
    keys = of("ListNode", "builtins.list", method)
    write(tmp_path / "m", node("DictNode", "builtins.dict", content={"text": value(1)}, key_types=keys))
    with pytest.raises(ModelError):
        model_files.load_model(tmp_path / "m")
    assert not target.exists()


def test_each_class_of_the_list_is_what_calls_itself_so():
    names = model_schema._classes() | model_schema._losses() | model_schema._numpy_scalars()
    assert [name for name in sorted(names) if not model_schema._is_itself(name, function=False)] == []
    functions = model_schema.TRUSTED_FUNCTIONS
    assert [name for name in functions if not model_schema._is_itself(name, function=True)] == []


def test_classes_that_hand_arrays_to_native_code_unchecked_are_not_on_the_list():
    assert "sklearn.svm._classes.SVC" not in model_schema._classes()
    assert "sklearn.linear_model._logistic.LogisticRegression" in model_schema._classes()


SCHEMAS = {
    "no JSON": "{",
    "not UTF-8": "\udcff",
    "a list": "[]",
    "no node": '{"protocol": 2}',
    "very deep": '{"content": ' * 100_000,
    "a huge number": json.dumps({**value(1), "protocol": PROTOCOL}).replace('"1"', '"' + "9" * 10_000 + '"'),
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_that_is_none_is_a_model_error(kind, tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    with zipfile.ZipFile(folder / model_files.PIPELINE, "w") as archive:
        archive.writestr("schema.json", SCHEMAS[kind].encode(errors="surrogateescape"))
    with pytest.raises(ModelError, match="tampered with or damaged"):
        model_files.load_model(folder)


def test_nodes_nested_too_deeply_are_a_model_error(tmp_path):
    root = value(1)
    for _ in range(300):
        root = of("ListNode", "builtins.list", root)
    with pytest.raises(ModelError, match="nested too deeply"):
        model_files.load_model(write(tmp_path / "m", root))


@pytest.mark.parametrize("protocol", [0, -1, True, PROTOCOL + 1, "2", None, 2.0])
def test_a_protocol_that_names_things_elsewhere_is_refused(protocol, tmp_path):
    with pytest.raises(ModelError, match="protocol"):
        model_files.load_model(write(tmp_path / "m", value(1), protocol=protocol))


def same_id_twice():
    inner = {**of("ListNode", "builtins.list", value(1)), "__id__": 7}
    other = {**of("ListNode", "builtins.list"), "__id__": 7}
    return of("ListNode", "builtins.list", inner, other)


def part_of_itself():
    root = {**of("ListNode", "builtins.list"), "__id__": 7}
    return {**root, "content": [{**of("ListNode", "builtins.list"), "__id__": 7}]}


@pytest.mark.parametrize("root", [same_id_twice(), part_of_itself()], ids=["two things", "part of itself"])
def test_an_id_stands_for_one_thing(root, tmp_path):
    with pytest.raises(ModelError, match="two different nodes have the id 7"):
        model_files.load_model(write(tmp_path / "m", root))


MEMBERS = {
    "climbs": [("../../x.npy", array([1.0]))],
    "absolute": [("/tmp/x.npy", array([1.0]))],
    "of another kind": [("run.py", b"import os")],
    "twice": [("1.npy", array([1.0])), ("1.npy", array([2.0]))],
    "Python objects": [("1.npy", array([{"a": 1}, None]))],
    "cut off": [("1.npy", array(np.arange(1000.0))[:500])],
    "too long": [("1.npy", array([1.0]) + b"more")],
    "larger than it is": [("1.npy", array([1.0]).replace(b"(1,), ", b"(9999999999999,), "))],
    "not there": [],
    "no array": [("1.npy", b"\x93NUMPY" + b"x" * 40)],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", MEMBERS)
def test_a_member_that_is_not_an_array_as_stored_is_refused(kind, tmp_path):
    folder = write(tmp_path / "m", STORED, MEMBERS[kind])
    with pytest.raises(ModelError, match="tampered with or damaged"):
        model_files.load_model(folder)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [model_files.PIPELINE]


def test_a_compressed_file_is_refused_before_it_unfolds(tmp_path):
    folder = write(tmp_path / "m", STORED, [("1.npy", array(np.zeros(10**6)))], compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed"):
        model_files.load_model(folder)


def test_a_member_that_is_named_again_and_again_is_refused(tmp_path):
    root = of("ListNode", "builtins.list", *[STORED] * 2000)
    folder = write(tmp_path / "m", root, [("1.npy", array(np.zeros(10**5)))])
    with pytest.raises(ModelError, match="unfolds"):
        model_files.load_model(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two real models' files."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    folders = []
    for model in (
        RandomForestRegressor(2, random_state=0),
        HistGradientBoostingRegressor(max_iter=2, max_features=0.5),
    ):
        folder = tmp_path_factory.mktemp("model")
        model_files.write_pipeline(folder, model.fit(X, X[:, 0]))
        folders.append(folder)
    return folders


def places(root, path=()):
    """Return the path to each value in a schema."""
    items = root.items() if isinstance(root, dict) else enumerate(root) if isinstance(root, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NAMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_schema_is_a_model_or_a_model_error(models, tmp_path, data):
    folder = data.draw(st.sampled_from(models))
    with zipfile.ZipFile(folder / model_files.PIPELINE) as archive:
        root = json.loads(archive.read("schema.json"))
        members = [(name, archive.read(name)) for name in archive.namelist() if name != "schema.json"]
    path = data.draw(st.sampled_from(places(root)[1:]))
    at = root
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = data.draw(JSON)
    message = "Train again"
    try:
        model_files.load_model(write(Path(tmp_path) / "m", json.dumps(root), members))
    except ModelError as error:
        message = str(error)
    assert "Train again" in message or "scikit-learn's classes" in message
