"""What a skops file may hold, checked before anything is made of it: an exact list of classes and functions by name.

skops makes whatever a trusted name leads to. Here every node of the file must be of a kind that models need, and its
name must be on the list of that kind and lead to a class (for `FunctionNode`: a function) that calls itself by it. So
a name that a module has merely imported, a method, or the subclass of a list is refused. The arrays must be there
whole, without Python objects in them, and the file must not unfold to more than it is.
"""

import hashlib
import importlib
import io
import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from quire.errors import ModelError
from quire.io.model_arrays import OutOfBounds, check_tree

TRUSTED = (
    "quire.model.by_segment.BySegment",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Classes that our estimators' files hold beyond scikit-learn's public estimators. They compute, and reach nothing
outside; what of theirs goes to native code is checked in `quire.io.model_arrays`."""

TRUSTED_FUNCTIONS = (
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "sklearn.utils.validation.check_array",
)
"""Functions that classes above hold, beside NumPy's and SciPy's ufuncs. Loading a file never calls one."""

UNCHECKED = (
    "KMeans", "MiniBatchKMeans", "BisectingKMeans", "LatentDirichletAllocation", "SVC", "NuSVC", "SVR", "NuSVR",
    "OneClassSVM",
)  # fmt: skip
"""Estimators of scikit-learn that hand what a file holds to native code unchecked: a tampered one ends the process."""

SCALARS = ("builtins.bool", "builtins.float", "builtins.int", "builtins.str")
DEEPEST = 250
"""Nodes within nodes. The deepest of our models have 40; Python's stack ends at some 300."""

LARGEST_SCHEMA_BYTES = 256 * 2**20
UNFOLDED_AT_MOST = 64
"""How often as large as the file what is read of it may be: equal arrays are stored once and read for each object."""

MEMBERS = re.compile(r"schema\.json|[0-9]+\.npy|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.bin")
State = dict[str, Any]


class _Refused(Exception):
    """What is wrong with a file, without its name."""


def check_file(content: bytes, *, where: str) -> list[str]:
    """Return the names that skops is to trust in the file ``content``; raises ModelError where it is not to be loaded.

    where: what the file is, for the message.
    """
    remedy = "Train again, or go back: `quire rollback`."
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            audit = _Audit(archive, _members(archive, len(content)))
            audit.run()
    except BadZipFile as error:
        raise ModelError(f"{where} is not whole: {error}. {remedy}") from error
    except (_Refused, OutOfBounds) as error:
        raise ModelError(f"{where} was tampered with or damaged: {error}. {remedy}") from error
    except RecursionError as error:
        raise ModelError(f"{where} was tampered with or damaged: it is nested too deeply. {remedy}") from error
    except Exception as error:  # whatever is made of content that skops did not write
        problem = f"{type(error).__name__}: {str(error)[:200]}"
        raise ModelError(
            f"{where} was tampered with or damaged, or another skops made it: {problem}. {remedy}"
        ) from error
    if audit.refused:
        raise ModelError(
            f"{where} holds types that are not trusted: {', '.join(sorted(audit.refused))}. Build it of scikit-learn's "
            "classes; if a class is known to be harmless, add it to TRUSTED in quire/io/model_schema.py, with a test."
        )
    return sorted(audit.names)


def _members(archive: ZipFile, size: int) -> dict[str, int]:
    """Return the size of each member, in bytes; raises where the archive is not as skops writes it."""
    members: dict[str, int] = {}
    for member in archive.infolist():
        if member.filename in members:
            raise _Refused(f"it holds {member.filename!r} twice")
        if not MEMBERS.fullmatch(member.filename):
            raise _Refused(f"it holds {member.filename[:80]!r}, which skops does not write")
        if member.compress_type != ZIP_STORED or member.file_size != member.compress_size or member.flag_bits & 1:
            raise _Refused(f"its {member.filename} is compressed or encrypted, which skops' files are not")
        members[member.filename] = member.file_size
    if "schema.json" not in members:
        raise _Refused("it holds no schema.json")
    if sum(members.values()) > size or members["schema.json"] > LARGEST_SCHEMA_BYTES:
        raise _Refused("its members claim to be larger than it is")
    return members


class _Audit:
    """One walk over the nodes of a file. Names that are not on the list are gathered, all else is refused at once."""

    def __init__(self, archive: ZipFile, members: dict[str, int]) -> None:
        self._archive, self._members = archive, members
        self._left_bytes = UNFOLDED_AT_MOST * sum(members.values())
        self._digests: dict[Any, bytes] = {}
        self.names: set[str] = set()
        self.refused: set[str] = set()

    def run(self) -> None:
        schema = json.loads(self._archive.read("schema.json"))
        if not isinstance(schema, dict):
            raise _Refused("its schema is no object")
        from skops.io._protocol import PROTOCOL

        protocol = schema.get("protocol")
        # Nodes of protocol 0 name what they make in other places than those that are checked here.
        if type(protocol) is not int or not 1 <= protocol <= PROTOCOL:
            raise _Refused(f"it is written in protocol {protocol!r} of skops; known: 1 to {PROTOCOL}")
        self._node(schema, 0)

    def _node(self, state: Any, depth: int) -> bytes:
        """Check a node and all below it; return a digest of what it makes."""
        if not isinstance(state, dict) or depth > DEEPEST:
            raise _Refused("it is nested too deeply" if isinstance(state, dict) else f"a node is {str(state)[:40]!r}")
        name = f"{_text(state, '__module__')}.{_text(state, '__class__')}"
        loader = _text(state, "__loader__")
        rule = LOADERS.get(loader)
        if rule is None:
            self.refused.add(f"{name} ({loader})")
            return b""
        names, check = rule
        if name not in names():
            self.refused.add(name)
        elif not _is_itself(name, function=loader == "FunctionNode"):
            self.refused.add(f"{name}, which is another thing by that name")
        self.names.add(name)
        parts = check(self, state, depth)
        digest = hashlib.sha256(repr((loader, name, parts)).encode(errors="surrogatepass")).digest()
        # skops makes a node once for each id. So an id must not stand for two things, nor for one that it is part of.
        saved_id = state.get("__id__")
        if saved_id is not None and (type(saved_id) is not int or self._digests.setdefault(saved_id, digest) != digest):
            raise _Refused(f"two different nodes have the id {str(saved_id)[:40]}")
        return digest

    def _nodes(self, states: Iterable[Any], depth: int) -> list[bytes]:
        return [self._node(state, depth + 1) for state in states]

    def _mapping(self, state: State, depth: int) -> Any:
        content, keys = _typed(state["content"], dict), _expect(state["key_types"], "ListNode")
        for key in _typed(keys["content"], list):
            _expect(key, "TypeNode")
        return [list(content), *self._nodes([keys, *content.values()], depth)]

    def _sequence(self, state: State, depth: int) -> Any:
        return self._nodes(_typed(state["content"], list), depth)

    def _json(self, state: State, depth: int) -> Any:
        json.loads(_text(state, "content"))
        return state["content"]

    def _name_only(self, state: State, depth: int) -> Any:
        return None

    def _partial(self, state: State, depth: int) -> Any:
        content = state["content"]
        _expect(content["func"], "FunctionNode")
        _expect(content["args"], "TupleNode")
        _expect(content["kwds"], "DictNode")
        return self._nodes([content[part] for part in ("func", "args", "kwds", "namespace")], depth)

    def _slice(self, state: State, depth: int) -> Any:
        ends = [state["content"][part] for part in ("start", "stop", "step")]
        if any(end is not None and type(end) is not int for end in ends):
            raise _Refused("a slice is not between numbers")
        return ends

    def _array(self, state: State, depth: int) -> Any:
        if state["type"] == "numpy":
            return self._described(state["file"])
        if state["type"] != "json":
            raise _Refused(f"an array is stored as {str(state['type'])[:40]!r}")
        shape, items = _numbers(_expect(state["shape"], "TupleNode")), _typed(state["content"], list)
        levels = shape[1:]
        rows: list[Any] = items
        for length in levels:
            rows = [cell for row in rows for cell in _row(row, length)]
        # What NumPy would unfold further into the array, or make of it without end.
        if levels and any(cell.get("__loader__") in ("ListNode", "TupleNode", "NdArrayNode") for cell in rows):
            raise _Refused("an array of objects is not of the shape that it names")
        return [shape, *self._nodes([state["shape"], *items], depth)]

    def _masked(self, state: State, depth: int) -> Any:
        parts = [_expect(state["content"][part], "NdArrayNode") for part in ("data", "mask")]
        return self._nodes(parts, depth)

    def _one(self, state: State, depth: int) -> Any:
        return self._node(state["content"], depth + 1)

    def _dtype(self, state: State, depth: int) -> Any:
        _expect(state["content"], "NdArrayNode")
        return self._one(state, depth)

    def _generator(self, state: State, depth: int) -> Any:
        bits = _expect(state["content"]["bit_generator"], "DictNode")
        kind = json.loads(_text(bits["content"]["bit_generator"], "content"))
        if kind not in ("PCG64", "PCG64DXSM"):  # others hold a place in a buffer, which NumPy does not check
            self.refused.add(f"numpy.random.{kind}")
        return self._nodes(list(state["content"].values()), depth)

    def _object(self, state: State, depth: int) -> Any:
        return self._one(state, depth) if state.get("content") is not None else None

    def _reduced(self, state: State, depth: int) -> Any:
        return self._nodes([_expect(state["__reduce__"]["args"], "TupleNode"), state["content"]], depth)

    def _tree(self, state: State, depth: int) -> Any:
        """Check a decision tree's arrays here: its constructor reads from them."""
        digests = self._reduced(state, depth)
        args = state["__reduce__"]["args"]["content"]
        attributes = _expect(state["content"], "DictNode")["content"]
        check_tree(
            self._read(attributes["nodes"]),
            self._read(attributes["values"]),
            self._read(args[1]),
            features=_number(args[0]),
            outputs=_number(args[2]),
            count=_number(attributes["node_count"]),
        )
        return digests

    def _binary(self, state: State, depth: int) -> Any:
        return self._spend(state["file"])

    def _read(self, state: Any) -> np.ndarray:
        _expect(state, "NdArrayNode")
        if state["type"] != "numpy":
            raise _Refused("an array of numbers is one of objects")
        with self._archive.open(state["file"]) as file:
            return np.load(io.BytesIO(file.read()), allow_pickle=False)

    def _described(self, name: Any) -> str:
        """Return type and shape of a stored array; raises unless it is all there and without Python objects."""
        size = self._spend(name)
        with self._archive.open(name) as file:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in read:
                raise _Refused(f"{name} is no array that NumPy writes")
            shape, fortran, dtype = read[version](file)
            start = file.tell()
        count = 1
        for length in shape:
            count *= length
        if dtype.hasobject or min((0, *shape)) < 0 or start + count * dtype.itemsize != size:
            raise _Refused(f"the array {name} holds Python objects" if dtype.hasobject else f"{name} is not whole")
        return f"{dtype.descr} {shape} {fortran}"

    def _spend(self, name: Any) -> int:
        if not isinstance(name, str) or name not in self._members or name == "schema.json":
            raise _Refused(f"it lacks the member {str(name)[:80]!r}")
        self._left_bytes -= self._members[name]
        if self._left_bytes < 0:
            raise _Refused("it unfolds to more than a model is")
        return self._members[name]


def _text(state: State, key: str) -> str:
    return _typed(state[key], str)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise _Refused(f"a node holds {type(value).__name__} in place of {kind.__name__}")
    return value


def _expect(state: Any, loader: str) -> State:
    if _typed(state, dict).get("__loader__") != loader:
        raise _Refused(f"a {str(state.get('__loader__'))[:40]} stands where a {loader} belongs")
    return state


def _number(state: Any) -> int:
    value = json.loads(_text(_expect(state, "JsonNode"), "content"))
    if type(value) is not int:
        raise _Refused(f"a size is {str(value)[:40]!r}")
    return value


def _numbers(state: State) -> list[int]:
    return [_number(item) for item in _typed(state["content"], list)]


def _row(state: Any, length: int) -> list[Any]:
    row = _typed(_expect(state, "ListNode")["content"], list)
    if len(row) != length:
        raise _Refused("an array of objects is not of the shape that it names")
    return row


@cache
def _is_itself(name: str, *, function: bool) -> bool:
    """Whether a name of the list leads to what calls itself by it: a class, or else a function."""
    module, _, attribute = name.rpartition(".")
    value = getattr(importlib.import_module(module), attribute, None)
    if isinstance(value, np.ufunc):
        return function and value.__name__ == attribute
    if not callable(value) or isinstance(value, type) == function:
        return False
    return _full_name(value) == name


def _full_name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


@cache
def _classes() -> frozenset[str]:
    """Return the names of scikit-learn's public estimators and their parts, and of those above."""
    from skops.io import _trusted_types as defaults

    names = {*defaults.SKLEARN_ESTIMATOR_TYPE_NAMES, *defaults.SKLEARN_INTERNAL_TYPE_NAMES, *TRUSTED}
    return frozenset(name for name in names if name.rpartition(".")[2] not in UNCHECKED)


@cache
def _functions() -> frozenset[str]:
    from skops.io import _trusted_types as defaults

    return frozenset((*TRUSTED_FUNCTIONS, *defaults.NUMPY_UFUNC_TYPE_NAMES, *defaults.SCIPY_UFUNC_TYPE_NAMES))


@cache
def _losses() -> frozenset[str]:
    from skops.io._sklearn import ALLOWED_LOSSES

    return frozenset(_full_name(loss) for loss in ALLOWED_LOSSES)


@cache
def _numpy_scalars() -> frozenset[str]:
    kinds = (np.number, np.bool_, np.str_, np.datetime64, np.timedelta64)
    return frozenset(_full_name(kind) for kind in set(np.sctypeDict.values()) if issubclass(kind, kinds))


def _only(*names: str) -> Callable[[], Iterable[str]]:
    return lambda: names


LOADERS: dict[str, tuple[Callable[[], Iterable[str]], Callable[[_Audit, State, int], Any]]] = {
    "BytesNode": (_only("builtins.bytes"), _Audit._binary),
    "DTypeNode": (_only("numpy.dtype"), _Audit._dtype),
    "DictNode": (_only("builtins.dict", "collections.OrderedDict"), _Audit._mapping),
    "FunctionNode": (_functions, _Audit._name_only),
    "JsonNode": (_only("builtins.str"), _Audit._json),
    "ListNode": (_only("builtins.list"), _Audit._sequence),
    "LossNode": (_losses, _Audit._reduced),
    "MaskedArrayNode": (_only("numpy.ma.MaskedArray"), _Audit._masked),
    "NdArrayNode": (lambda: {"numpy.ndarray", *_numpy_scalars()}, _Audit._array),
    "ObjectNode": (_classes, _Audit._object),
    "PartialNode": (_only("functools.partial"), _Audit._partial),
    "RandomGeneratorNode": (_only("numpy.random._generator.Generator"), _Audit._generator),
    "RandomStateNode": (_only("numpy.random.mtrand.RandomState"), _Audit._one),
    "SetNode": (_only("builtins.set"), _Audit._sequence),
    "SliceNode": (_only("builtins.slice"), _Audit._slice),
    "TreeNode": (_only("sklearn.tree._tree.Tree"), _Audit._tree),
    "TupleNode": (_only("builtins.tuple"), _Audit._sequence),
    "TypeNode": (lambda: {*SCALARS, *_numpy_scalars()}, _Audit._name_only),
}
"""The kinds of node that models need: by skops' name the names that it may have, and the check of what it holds."""
