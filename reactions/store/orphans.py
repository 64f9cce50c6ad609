"""Objects of a bucket that nothing refers to any more."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from reactions.core.types import Digest
from reactions.store.object_locks import leased
from reactions.store.objects import PROBES, ObjectInfo, Objects
from reactions.store.places import GRACE_S, UNLOCKED_GRACE_S

USED = "used"
"""Where it is noted when an entry was used."""

_PROBES = (PROBES, "clocks")
"""Where what a process only tries something with lies, also of earlier versions."""


def orphans(
    objects: Objects, leases: str, record: str, age_s: Callable[[ObjectInfo], float]
) -> dict[str, ObjectInfo]:
    """Return objects that no record names, and that nobody is about to name.

    Args:
        objects: of the store.
        leases: name of the folder of leases.
        record: name of an entry's record.
        age_s: returns how long ago an object was put.
    """
    entries = objects.find("entries")
    busy = {name.split("/")[1].split(".")[0] for name in objects.find("locks")}
    busy |= leased(objects, leases)
    records = [name for name in entries if name.endswith(f"/{record}")]
    manifests = {name.rpartition("/")[0]: data for name, data in objects.read_all(records)}
    corpora = {data[:32] for data in map(_corpus, manifests.values())}
    unused = {
        name: info
        for name, info in objects.find("corpora").items()
        if Path(name).stem.removeprefix("rows-") not in corpora
        and age_s(info) >= UNLOCKED_GRACE_S  # its first entry may be in the making
    }
    for name, info in entries.items():
        folder, _, file = name.rpartition("/")
        is_named = file == record or named_digests(manifests.get(folder, b"{}"), file)
        if not is_named and Path(folder).name not in busy and age_s(info) >= GRACE_S:
            unused[name] = info
    for name, info in (o for folder in _PROBES for o in objects.find(folder).items()):
        if age_s(info) >= GRACE_S:
            unused[name] = info
    used = objects.find(USED)
    keys = {Path(folder).name for folder in manifests}
    return unused | {name: used[name] for name in used if Path(name).name not in keys}


def _corpus(record: bytes) -> Digest:
    """Return what corpus a record's entry was made of; "" for none."""
    with suppress(ValueError, LookupError, TypeError):
        return str(json.loads(record)["preimage"]["params"]["corpus"])
    return ""


def named_digests(record: bytes, file: str) -> list[Digest]:
    """Return the digest that a record gives a file, in a list; none where it does not name it."""
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        arrays: dict[str, Any] = json.loads(record)["arrays"]
        return [
            shard["sha256"]
            for array in arrays.values()
            for shard in array["shards"]
            if shard["file"] == file
        ]
    return []
