"""What ``bundle.json`` says, checked before any of it is used.

A record may come from anyone, and its digest only shows that it was not changed since: anyone who
changes it can sign it again. So every field has to be what this version could have written, and
what a reaction could not say (a weight of -1, a factor of 7) is refused by the language's own
functions. Fields that this version does not know are let pass.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from reactions.core.errors import BundleError, DataError
from reactions.core.hashing import digest
from reactions.core.local_files import read_small_file
from reactions.core.settings import MAX_SUBSETS, ReactionSettings
from reactions.core.types import Space, SpaceSpec, leaves
from reactions.dsl.check import MAX_REACTIONS, MAX_STAGES
from reactions.dsl.tuning import check_learned, check_tuned
from reactions.dsl.values import (
    check_modality,
)
from reactions.ops.recipes import recipe_of
from reactions.products.bundles.folder import PROJECTORS
from reactions.products.bundles.json_values import a_list, a_mapping, a_text
from reactions.products.bundles.tensors import HeadPlace
from reactions.products.bundles.tree_checks import check_fusion, check_tree
from reactions.products.part_kinds import PartFile, part_file, read_part
from reactions.products.tree import mixtures, trained_nodes
from reactions.products.tree_json import tree_from_json

FORMAT = 2
"""The newest that is read."""

MAX_PARTS = 256
MAX_RECORD_BYTES = 8 << 20
MAX_DIM = 1 << 20
_MAX_DEPTH = 4 * MAX_STAGES
"""Of nested JSON: a stage of a tree is three levels."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUBSET = re.compile(r"[^\x00-\x20]{1,1000}")

MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What reading an object of unknown make may raise."""


def read_record(path: Path) -> dict[str, Any]:
    """Read a record, of a format that this version knows, whose digest fits.

    Raises:
        BundleError: it is too large, truncated, changed, or newer than this version.
        OSError: it cannot be read.
    """
    try:
        # Bounded in size and depth before anything walks it: it may come from anyone.
        record = json.loads(read_small_file(path, MAX_RECORD_BYTES))
        _check_depth(record)
        version = record["format"]
    except DataError as error:
        raise BundleError(error.what, why=error.why, fix=error.fix) from None
    except MALFORMED:
        what, fix = f"{path} is not a bundle record", "run the reaction again"
        raise BundleError(what, why="truncated or changed", fix=fix) from None
    # Not isinstance: JSON's true is an int, and equals 1.
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise BundleError(
            f"{path} has bundle format {version!r:.40}",
            why=f"this version of molspace reads formats up to {FORMAT}",
            fix="upgrade molspace",
            format=version,
        )
    claimed = record.pop("digest", None)
    try:
        actual = digest("bundle", record)
    except MALFORMED:  # NaN: never written by us
        actual = None
    if actual is None or claimed != actual:
        raise BundleError(
            f"{path} was changed after it was written",
            why="its digest does not fit its contents",
            fix="run the reaction again, or get the bundle again from its author",
        )
    return {**record, "digest": claimed}


def _check_depth(value: Any) -> None:
    """Raise ValueError where JSON is nested deeper than what walks it can follow."""
    # Level by level: recursion would overflow on what it is meant to refuse.
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise ValueError("nested too deeply")


def read_space(record: Mapping[str, Any]) -> Space:
    """Check the fields of a record, and return the product it describes.

    Raises:
        ValueError, UsageError: a field is not what this version could have written.
        MALFORMED: the same, of the wrong make.
    """
    specs = [read_spec(item) for item in a_list("spaces", record["spaces"])]
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise ValueError(f"a space is described twice: {_doubled(names)}")
    check_tree(record["tree"], set(names))
    space = tree_from_json(record["tree"], {spec.name: spec for spec in specs})
    if [leaf.spec for leaf in leaves(space)] != specs:
        raise ValueError("the spaces described are not those of the reaction, in its order")
    pairs = list(mixtures(space))
    if len(pairs) > MAX_REACTIONS:
        raise ValueError(f"more than {MAX_REACTIONS} reactions")
    for fusion, _ in pairs:
        check_fusion(fusion)
        if fusion.mean != "eq10" and record["format"] == 1:
            raise ValueError("format 1 has no mean but that of equation 10")
    for _, node in trained_nodes(space):
        if node.op == "ft":
            check_tuned(node)
        else:
            check_learned(node)
    if (record["dim"], record["modalities"]) != (space.dim, list(space.modalities)):
        raise ValueError(
            f"it says {record['dim']!r:.40} dimensions of {record['modalities']!r:.200}; the "
            f"reaction gives {space.dim} of {list(space.modalities)}"
        )
    _check_mixtures(record["mixtures"], space)
    read_parts(record, space)
    _check_rest(record)
    return space


def head_places(record: Mapping[str, Any], space: Space) -> list[HeadPlace]:
    """Return where each projector lies, in the order of the record."""
    places = []
    for index, (fusion, i) in enumerate(mixtures(space)):
        places += [
            HeadPlace.of(f"{index}.{subset}.", fusion, i)
            for subset in record["mixtures"][index]["subsets"]
        ]
    return places


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a record says of a file beside it."""

    size_bytes: int
    sha256: str


def read_files(record: Mapping[str, Any]) -> dict[str, FileEntry]:
    """Return the files that a record names: that of the projectors, and one a part.

    Raises:
        ValueError: it names others, or not so.
    """
    files = a_mapping("files", record["files"])
    names = [PROJECTORS, *(part_file(i) for i in range(len(_parts(record))))]
    if set(files) != set(names):
        raise ValueError(f"it names the files {sorted(files)!r:.200}, not {', '.join(names)}")
    return {name: _file_entry(name, files[name]) for name in names}


def _file_entry(name: str, entry: Any) -> FileEntry:
    entry = a_mapping(name, entry)
    size_bytes, sha256 = entry["size_bytes"], entry["sha256"]
    if type(size_bytes) is not int or size_bytes < 0:
        raise ValueError(f"{name} has {size_bytes!r:.40} bytes")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError(f"{name} has no SHA-256")
    return FileEntry(size_bytes, sha256)


def read_parts(record: Mapping[str, Any], space: Space) -> list[PartFile]:
    """Return the trained parts that lie in files of their own.

    Raises:
        ValueError: one is of an unknown kind, or two belong to one node.
        MALFORMED: the same, of the wrong make.
    """
    parts = [read_part(i, entry, space) for i, entry in enumerate(_parts(record))]
    nodes = [part.node for part in parts]
    if len(set(nodes)) < len(nodes):
        raise ValueError("two parts belong to one node")
    # Kinds are called after what trains them.
    for _, node in trained_nodes(space):
        if (node.op, node) not in ((part.kind, part.node) for part in parts):
            raise ValueError(f"nothing of what {node.label} trained is there")
    return parts


def _parts(record: Mapping[str, Any]) -> list[Any]:
    if record["format"] == 1:
        if "parts" in record:
            raise ValueError("format 1 has no parts of other kinds")
        return []
    parts = a_list("parts", record["parts"])
    if len(parts) > MAX_PARTS:
        raise ValueError(f"{len(parts)} parts, not at most {MAX_PARTS}")
    return parts


def read_spec(item: Mapping[str, Any]) -> SpaceSpec:
    """Return a leaf's spec from a record.

    Raises:
        ValueError, UsageError, MALFORMED: it is not what this version could have written.
    """
    a_mapping("a space", item)
    name = a_text("a space's name", item["name"], least=1)
    modalities = a_list(f"modalities of {name}", item["modalities"])
    for modality in modalities:
        check_modality(modality)
    if sorted(set(modalities)) != modalities:
        raise ValueError(f"the modalities of {name} are not sorted, or one stands there twice")
    pairs: dict[str, tuple[tuple[str, Any], ...]] = {}
    for key in ("preprocessing", "flops_per_item", "tower_digests", "derived"):
        # The last two are not in records of earlier versions.
        values = item.get(key, []) if key in ("tower_digests", "derived") else item[key]
        pairs[key] = tuple((m, value) for m, value in a_list(key, values))
        entries = [m for m, _ in pairs[key]]
        if not set(entries) <= set(modalities) or len(set(entries)) < len(entries):
            raise ValueError(f"{key} of {name} names other modalities than it embeds")
    for key in ("preprocessing", "tower_digests", "derived"):
        for _, text in pairs[key]:
            a_text(f"{key} of {name}", text)
    for _, flops in pairs["flops_per_item"]:
        if type(flops) not in (int, float) or not 0 <= flops < math.inf:
            raise ValueError(f"flops_per_item of {name} is {flops!r:.40}")
    for key in ("adapter", "source", "revision", "licence", "weights_digest", "lab"):
        a_text(f"{key} of {name}", item[key])
    if item["hub"] is not None and item["hub"] not in modalities:
        raise ValueError(f"{name} does not embed its hub")
    if type(item["dim"]) is not int or not 1 <= item["dim"] <= MAX_DIM:
        raise ValueError(f"dimension {item['dim']!r:.40} of {name}")
    if item.get("tuned", ""):
        raise ValueError(f"{name} is a space that an Ft tuned")
    if type(item.get("centre", False)) is not bool:
        raise ValueError(f"centre of {name} is {item['centre']!r:.40}")
    return SpaceSpec(**{**item, "modalities": tuple(modalities), **pairs})


# --- within --------------------------------------------------------------------------


def _check_mixtures(value: Any, space: Space) -> None:
    described = a_list("mixtures", value)
    pairs = list(mixtures(space))
    if len(described) != len(pairs):
        raise ValueError(f"{len(pairs)} mixtures in the reaction, {len(described)} described")
    for mixture, (fusion, i) in zip(described, pairs, strict=True):
        expert = fusion.experts[i].label
        if (mixture["expert"], mixture["op"]) != (expert, fusion.op):
            raise ValueError(f"a mixture says it is of {mixture['expert']!r:.80}, not {expert}")
        subsets = a_list("subsets", mixture["subsets"])
        if not subsets or len(subsets) > MAX_SUBSETS or len(set(subsets)) < len(subsets):
            raise ValueError(f"the mixture of {expert} has no, too many or equal subsets")
        if len(subsets) > 1 and recipe_of(fusion.experts[i].recipe).solver:
            raise ValueError(f"{expert} has several maps, where one is solved for")
        if not all(isinstance(name, str) and _SUBSET.fullmatch(name) for name in subsets):
            raise ValueError(f"the mixture of {expert} has a subset without a name")


def _check_rest(record: Mapping[str, Any]) -> None:
    """Check what is shown to people."""
    a_text("expression", record["expression"], least=1, most=1 << 20)
    lab = a_mapping("lab", record["lab"])
    a_text("lab.name", lab["name"])
    a_text("lab.label", lab["label"])
    seed = lab["seed"]
    if seed is not None and (type(seed) is not int or not 0 <= seed < 1 << 64):
        raise ValueError(f"seed {seed!r:.40}")
    _check_settings(a_mapping("settings", record["settings"]))
    for label, key in a_mapping("steps", record["steps"]).items():
        a_text(f"step {label!r:.80}", key)
    a_text("molspace", record["molspace"])
    if (tuned := record.get("tuned")) is not None:
        a_text("tuned.objective", a_mapping("tuned", tuned)["objective"])
        for text in a_list("tuned.keep", tuned["keep"]):
            a_text("tuned.keep", text)
        if type(tuned["seed"]) is not int:
            raise ValueError(f"tuned.seed {tuned['seed']!r:.40}")
    if (origin := record.get("imported")) is not None:
        a_text("imported.from", a_mapping("imported", origin)["from"])
        a_text("imported.product", origin["product"])
        for file, sha256 in a_mapping("imported.files", origin["files"]).items():
            a_text(f"imported file {file!r:.80}", sha256)


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Check hyper-parameters as a lab file's are; those of other versions are let pass."""
    names = {field.name for field in fields(ReactionSettings)}
    for name, value in settings.items():
        if name in names and type(value) not in (int, float, str, list):
            raise ValueError(f"settings.{name} is {value!r:.40}")
    # Made for the checks of its constructor.
    ReactionSettings(**{name: value for name, value in settings.items() if name in names})


def _doubled(names: list[str]) -> str:
    return next(name for name in names if names.count(name) > 1)
