"""What the card of a data set, its README, says of its files: configurations and their splits.

Source: "Manual configuration" in the documentation of the hub's data sets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from reactions.core.braces import expand
from reactions.core.errors import DataError, MissingError
from reactions.core.extras import install_extra
from reactions.core.local_files import is_file, read_text_file

_MAX_CARD_BYTES = 1 << 22
_MAX_PATTERN = 200
"""Characters of a pattern, and what its braces may expand to."""
_FRONT_MATTER = re.compile(r"\A\s*---\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class CardConfig:
    """A configuration that a card describes.

    Attributes:
        name: of the configuration.
        patterns: of the files of each split, by its name; {} leaves that to the files' names.
        folder: what the files lie below; "" for the data set itself.
        is_default: whether it is meant where none is named.
    """

    name: str
    patterns: Mapping[str, Sequence[str]]
    folder: str = ""
    is_default: bool = False


def read_card(path: Path) -> list[CardConfig]:
    """Return the configurations that a card describes; [] without a card, or without any.

    Args:
        path: of ``README.md``.

    Raises:
        DataError: it is damaged, or names files elsewhere.
        MissingError: no package that reads it is installed.
    """
    if not is_file(path):
        return []
    match = _FRONT_MATTER.match(read_text_file(path, _MAX_CARD_BYTES))
    if match is None or "configs:" not in match[1]:
        return []
    try:
        import yaml
    except ImportError:
        raise MissingError(
            f"cannot read '{path}'", why="PyYAML is not installed", fix=install_extra("datasets")
        ) from None
    try:
        head = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _damaged(path, " ".join(str(error).split())[:200]) from error
    entries = head.get("configs") if isinstance(head, dict) else None
    if not isinstance(entries, list):
        return []
    return [_config(entry, path) for entry in entries]


def matching(names: Sequence[str], pattern: str) -> list[str]:
    """Return the names that a pattern of a card matches, sorted.

    ``*`` stops at a slash; a part that is ``**`` stands for any folders, or for all that is below.
    """
    matched: set[str] = set()
    for plain in expand(pattern.removeprefix("./")):
        parts = plain.split("/")
        matched.update(name for name in names if _matches(name.split("/"), parts))
    return sorted(matched)


def _matches(name: Sequence[str], pattern: Sequence[str]) -> bool:
    # How many parts of the pattern the parts of the name so far may have used up.
    states = {0}
    for part in [*name, None]:
        # ``**`` may stand for nothing, but at the end for a file at least.
        for i, wild in enumerate(pattern):
            if wild == "**" and i in states and (part is not None or i + 1 < len(pattern)):
                states.add(i + 1)
        if part is None:
            break
        after = {i for i in states if i < len(pattern) and pattern[i] == "**"}
        if pattern[-1] == "**" and len(pattern) - 1 in states:
            after.add(len(pattern))
        after |= {
            i + 1
            for i in states
            if i < len(pattern) and pattern[i] != "**" and fnmatchcase(part, pattern[i])
        }
        states = after
    return len(pattern) in states


def _config(entry: Any, path: Path) -> CardConfig:
    if not isinstance(entry, dict):
        raise _damaged(path, "an entry of configs is not a mapping")
    name, folder = entry.get("config_name", "default"), entry.get("data_dir") or ""
    if not isinstance(name, str) or not isinstance(folder, str):
        raise _damaged(path, "a configuration's name or data_dir is not a text")
    folder = folder.removeprefix("./").strip("/")
    patterns = {
        split: [_checked(f"{folder}/{text}" if folder else text, path) for text in texts]
        for split, texts in _by_split(entry.get("data_files"), path).items()
    }
    return CardConfig(name, patterns, folder, entry.get("default") is True)


def _by_split(value: Any, path: Path) -> dict[str, list[str]]:
    if value is None:
        return {}
    if isinstance(value, str) or (isinstance(value, list) and all(_is_text(v) for v in value)):
        return {"train": _texts(value, path)}
    if isinstance(value, dict):
        return {str(split): _texts(texts, path) for split, texts in value.items()}
    by_split: dict[str, list[str]] = {}
    for part in value if isinstance(value, list) else [None]:
        if not isinstance(part, dict) or not isinstance(part.get("split"), str):
            raise _damaged(path, "data_files are neither patterns nor splits with a path")
        by_split.setdefault(part["split"], []).extend(_texts(part.get("path"), path))
    return by_split


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any, path: Path) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(_is_text(text) and text for text in texts):
        raise _damaged(path, "the path of a split is not a pattern")
    return texts


def _checked(pattern: str, path: Path) -> str:
    if "://" in pattern or pattern.startswith("/") or ".." in pattern.split("/"):
        raise _damaged(path, f"'{pattern[:80]}' is not in the data set")
    if len(pattern) > _MAX_PATTERN or len(expand(pattern)) > _MAX_PATTERN:
        raise _damaged(path, f"the pattern '{pattern[:80]}' is too long")
    return pattern


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"cannot use what '{path}' says of its files",
        why=why,
        fix='name the files: path = "hf://datasets/ORG/NAME@COMMIT/data/*.parquet"',
        path=str(path),
    )
