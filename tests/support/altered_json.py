"""JSON values, altered as somebody who means harm might."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

NUMBERS = st.sampled_from(
    [0, -1, 1, 7, 2**31, 2**63, -(2**63), 10**30, 0.0, -0.5, 0.5, 7.0, 1e308, 5e-324]
)
_KNOWN = ["text", "audio", "image", "depth", "T", "TVA", "dr", "cr", "paper", "exmcr", "cmcr"]
_ODD = ["", "ImageBind", "CLAP_m", "../../x", "\x1b[2J", "\ud800", "a" * 5000, "0.T", "\n"]
WORDS = st.sampled_from([*_KNOWN, *_ODD])
LEAVES = st.none() | st.booleans() | NUMBERS | WORDS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every node of a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """Draw altered forms of a JSON value: nodes replaced, removed, doubled, swapped, nested."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        paths = [path for path in places(value) if path]
        if not paths:
            return value
        path = draw(st.sampled_from(paths))
        parent, key = at(value, path[:-1]), path[-1]
        match draw(st.sampled_from(["replace", "replace", "remove", "swap", "double", "nest"])):
            case "replace":
                parent[key] = draw(VALUES)
            case "remove":
                del parent[key]
            case "swap":
                parent[key] = copy.deepcopy(at(value, draw(st.sampled_from(paths))))
            case "double" if isinstance(parent, list):
                parent.insert(key, copy.deepcopy(parent[key]))
            case "nest":
                inner = parent[key]
                for _ in range(draw(st.sampled_from([1, 3, 60, 300]))):
                    inner = draw(st.sampled_from([[inner], {"base": inner}]))
                parent[key] = inner
            case _:
                pass
    return value
