"""Why the store lacks a result: the difference against the nearest earlier one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reactions.core.hashing import canonical
from reactions.core.step import Step
from reactions.store.manifest import EntryManifest

_MAX_DIFFERENCES = 3
_UNLIKE = 4
"""Entries that have or lack more than this are not an earlier version of a step."""

_MAX_VALUE_CHARS = 40
_DIGEST_CHARS = 8
_ABSENT = object()


def miss(step: Step, entries: Sequence[EntryManifest]) -> str:
    """Return in one line why a step's result is not there.

    Args:
        step: the step that misses.
        entries: everything the store has.

    Returns:
        ``"no earlier train step"``, ``"no earlier train step like it"`` where none has its label
        and comes from the same lab, or has much in common with it, or the differences against the
        one that has the fewest, such as ``"params.seed: 0 -> 1"`` or, where an input is another
        one, ``"input base changed (params.dtype: 'float16' -> 'float32')"``.
    """
    candidates = [entry for entry in entries if entry.kind == step.kind and entry.key != step.key]
    if not candidates:
        return f"no earlier {step.kind} step"
    by_key = {entry.key: entry for entry in entries}
    preimage = _plain(step)
    lab = _Lab(by_key)
    candidates = [entry for entry in candidates if lab.made(entry, step)]
    if not candidates:
        return f"no earlier {step.kind} step like it"
    nearest = min(
        candidates,
        key=lambda entry: (
            len(list(_walk(entry.preimage, preimage))),
            _descending(entry.created),
            entry.key,
        ),
    )
    differences = _differences(step, nearest, by_key)
    if not differences:  # the same preimage under another key: the hash itself was changed
        return "the way keys are made changed"
    walked = _walk(nearest.preimage, preimage)
    if sum(_ABSENT in (old, new) for _, old, new in walked) > _UNLIKE:
        return f"no earlier {step.kind} step like it"
    more = len(differences) - _MAX_DIFFERENCES
    return "; ".join(differences[:_MAX_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")


class _Lab:
    """Knows whether entries and steps belong to the same lab, as far as the store knows.

    Labels alone do not show it: two labs may name other weights and other data alike. What the
    steps were made of, in the end, has a space or a corpus in common where the lab is the same.

    Args:
        by_key: everything the store has.
    """

    def __init__(self, by_key: Mapping[str, EntryManifest]) -> None:
        self._by_key = by_key
        # Steps share inputs: unless remembered, a pair is compared once for every path to it.
        self._verdicts: dict[tuple[str, str], bool] = {}

    def made(self, entry: EntryManifest, step: Step) -> bool:
        """Return whether an entry may be an earlier version of a step."""
        pair = (entry.key, step.key)
        if pair not in self._verdicts:
            same = (entry.kind, entry.label) == (step.kind, step.label)
            self._verdicts[pair] = same and self._same_origin(entry, step)
        return self._verdicts[pair]

    def _same_origin(self, entry: EntryManifest, step: Step) -> bool:
        old, new = (preimage.get("params", {}) for preimage in (entry.preimage, _plain(step)))
        if isinstance(old, Mapping) and "space" in new and "corpus" in new:
            return any(old.get(name) == new[name] for name in ("space", "corpus"))
        inputs = entry.preimage.get("inputs", {})
        if not isinstance(inputs, Mapping):
            return False
        common = [(inputs[name], source) for name, source in step.inputs if name in inputs]
        # What the store has lost may have been the same.
        return not common or any(
            key == source.key or key not in self._by_key or self.made(self._by_key[key], source)
            for key, source in common
        )


def altered(step: Step, preimage: Mapping[str, Any]) -> list[str]:
    """Return where a step's preimage and another one of it differ: paths, old and new values."""
    other = json.loads(canonical(preimage))
    return [
        f"{'.'.join(path)}: {_show(old)} -> {_show(new)}"
        for path, old, new in _walk(_plain(step), other)
    ]


def _differences(
    step: Step, entry: EntryManifest, by_key: Mapping[str, EntryManifest]
) -> list[str]:
    inputs = dict(step.inputs)
    lines = []
    for path, old, new in _walk(entry.preimage, _plain(step)):
        if path[0] != "inputs" or len(path) != 2:
            lines.append(f"{'.'.join(path)}: {_show(old)} -> {_show(new)}")
        elif old is _ABSENT:
            lines.append(f"input {path[1]} is new")
        elif new is _ABSENT:
            lines.append(f"input {path[1]} is gone")
        else:
            lines.append(f"input {path[1]} changed" + _cause(inputs.get(path[1]), old, by_key))
    return lines


def _cause(step: Step | None, old_key: str, by_key: Mapping[str, EntryManifest]) -> str:
    """Return the first own difference up the chain of changed inputs, in brackets."""
    while step is not None and old_key in by_key:
        differences = list(_walk(by_key[old_key].preimage, _plain(step)))
        if not differences:
            break
        path, old, new = differences[0]  # inputs come last
        if path[0] != "inputs":
            return f" ({'.'.join(path)}: {_show(old)} -> {_show(new)})"
        step, old_key = dict(step.inputs).get(path[-1]), old
    return ""


def _plain(step: Step) -> dict[str, Any]:
    """Return the preimage as it reads back from JSON: tuples are lists."""
    return dict(json.loads(canonical(step.preimage)))


def _walk(
    old: Any, new: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield (path, old, new) of every place where two JSON values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        # The step's own parameters before its inputs: they are what a user changed.
        for name in sorted({*old, *new}, key=lambda n: (n == "inputs", n)):
            yield from _walk(old.get(name, _ABSENT), new.get(name, _ABSENT), (*path, name))
        return
    # 1 == 1.0 == True in Python, but not in JSON, of which keys are made.
    if old != new or type(old) is not type(new):
        yield path, old, new


def _show(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return value[:_DIGEST_CHARS]
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_CHARS else text[: _MAX_VALUE_CHARS - 3] + "..."


def _descending(text: str) -> tuple[int, ...]:
    """Return a sort key that puts later timestamps first."""
    return tuple(-ord(char) for char in text)
