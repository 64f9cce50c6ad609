"""Which files of a data set are which split: as its card says, else as their names do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from reactions.core.errors import DataError, UsageError, suggestion
from reactions.data.hub.card import CardConfig, matching
from reactions.data.hub.config import DatasetPlace

_WORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""What folders and files of a split are called. Source: the library ``datasets``."""

_NUMBERED = re.compile(r"(?:.*/)?data/([\w.]+)-\d{5}-of-\d{5}(?:-\w+)?\.\w+")
_BESIDE = re.compile(
    r"(?:.*/)?(?:\..*|readme(?:\..*)?|licen[cs]e(?:\..*)?|dataset_infos?\.json)", re.I
)
_MOST_ENDINGS = 5
_SHARD = re.compile(r"(.*-)(\d{5})-of-(\d{5})(.*)")


def data_names(names: Sequence[str]) -> list[str]:
    """Return the files that may hold data, sorted: not the card, licences and hidden ones."""
    hidden = [name for name in names if any(part.startswith(".") for part in name.split("/"))]
    return sorted(name for name in {*names} - {*hidden} if not _BESIDE.fullmatch(name))


def choose_config(configs: Sequence[CardConfig], place: DatasetPlace) -> CardConfig:
    """Return the configuration that is meant.

    Raises:
        UsageError: there is none of this name, or several may be meant.
    """
    names = [config.name for config in configs]
    if place.config:
        for config in configs:
            if config.name == place.config:
                return config
        if not configs and place.config == "default":
            return CardConfig("", {})
        raise UsageError(
            f"'{place}' has no configuration '{place.config}'",
            why="" if configs else "its card names none",
            fix=suggestion(place.config, names) if configs else "leave config out",
            dataset=place.name,
        )
    if len(configs) < 2:
        return configs[0] if configs else CardConfig("", {})
    default = [c for c in configs if c.is_default] or [c for c in configs if c.name == "default"]
    if len(default) == 1:
        return default[0]
    raise UsageError(
        f"'{place}' has {len(configs)} configurations",
        why=", ".join(names[:12]) + (", ..." if len(names) > 12 else ""),
        fix=f'name one: config = "{names[0]}"',
        dataset=place.name,
    )


def candidates(names: Sequence[str], config: CardConfig) -> list[str]:
    """Return the files of a configuration, whatever their split; sorted.

    Where its card does not name them, and some are parquet files, or tars, the others are none.
    """
    if config.patterns:
        patterns = [pattern for texts in config.patterns.values() for pattern in texts]
        return sorted({name for pattern in patterns for name in matching(names, pattern)})
    below = _below(names, config)
    for ending in (".parquet", ".tar"):
        if any(name.endswith(ending) for name in below):
            return [name for name in below if name.endswith(ending)]
    return below


def left_out(names: Sequence[str], candidate_names: Sequence[str], config: CardConfig) -> str:
    """Return a sentence's part on the files that are not candidates; "" for none.

    Args:
        names: of all files.
        candidate_names: from ``candidates``, of the same.
        config: likewise.
    """
    other_names = [] if config.patterns else sorted({*_below(names, config)} - {*candidate_names})
    if not other_names:
        return ""
    endings = [ending for ending, _ in Counter(map(_ending, other_names)).most_common()]
    listed = ", ".join(endings[:_MOST_ENDINGS]) + (", ..." if len(endings) > _MOST_ENDINGS else "")
    count = "1 other file is" if len(other_names) == 1 else f"{len(other_names)} other files are"
    # A row of a parquet file may name a picture beside it.
    but = ", but for those that rows name" if _ending(candidate_names[0]) == ".parquet" else ""
    return f"its {_ending(candidate_names[0])} files are read, and {count} left out ({listed}){but}"


def _below(names: Sequence[str], config: CardConfig) -> list[str]:
    return [n for n in names if not config.folder or n.startswith(f"{config.folder}/")]


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower() or "no ending"


def split_files(
    names: Sequence[str], config: CardConfig, place: DatasetPlace
) -> dict[str, list[str]]:
    """Return the files of each split, by its card's patterns, else by the files' names.

    Args:
        names: from ``candidates``.
        config: from ``choose_config``.
        place: the data set, for errors.

    Raises:
        DataError: a file has the names of two splits.
    """
    if config.patterns:
        return {
            split: list(dict.fromkeys(n for p in patterns for n in matching(names, p)))
            for split, patterns in config.patterns.items()
        }
    return _by_names(names, place)


def choose_split(
    by_split: Mapping[str, Sequence[str]], place: DatasetPlace
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the splits that are meant, and their files, in order.

    Raises:
        UsageError: a split is unknown, or several may be meant.
        DataError: they have no files, or one of several numbered files is missing.
    """
    split_names = list(by_split)
    for split in place.splits:
        if split not in split_names:
            sliced = "[" in split or "+" in split
            raise UsageError(
                f"'{place}' has no split '{split}'",
                why=f"its splits: {', '.join(split_names) or 'none'}",
                fix='name whole splits: split = ["train", "test"]'
                if sliced
                else suggestion(split, split_names),
                dataset=place.name,
            )
    if len(split_names) > 1 and not place.splits:
        raise UsageError(
            f"'{place}' has {len(split_names)} splits",
            why=", ".join(split_names),
            fix=f'name one: split = "{split_names[0]}"; or several, in a list',
            dataset=place.name,
        )
    splits = place.splits or tuple(split_names)
    names = tuple(dict.fromkeys(name for split in splits for name in by_split[split]))
    if not names:
        raise DataError(
            f"'{place}' has no files of {' and '.join(splits) or 'any split'}",
            fix='name them: path = "hf://datasets/ORG/NAME@COMMIT/..."',
            dataset=place.name,
        )
    check_numbered(names, place)
    return splits, names


def check_numbered(names: Sequence[str], place: DatasetPlace) -> None:
    """Check that no file is missing of those that say ``-00001-of-00004``.

    Raises:
        DataError: one is.
    """
    numbers_of: dict[tuple[str, str, str], set[int]] = {}
    for name in names:
        if match := _SHARD.fullmatch(name):
            start, number, total, end = match.groups()
            # Some writers add a digest that differs from file to file.
            end = "." + end.rpartition(".")[2]
            numbers_of.setdefault((start, total, end), set()).add(int(number))
    for (start, total, end), numbers in numbers_of.items():
        if missing := sorted(set(range(int(total))) - numbers):
            raise DataError(
                f"'{place}' lacks {len(missing)} of {int(total)} files",
                why=f"there is no '{start}{missing[0]:05}-of-{total}...{end}'",
                fix="fetch it again, whole",
                dataset=place.name,
            )


def _by_names(names: Sequence[str], place: DatasetPlace) -> dict[str, list[str]]:
    numbered = [(_NUMBERED.fullmatch(name), name) for name in names]
    by_split: dict[str, list[str]] = {}
    for match, name in numbered:
        if match:
            by_split.setdefault(match[1], []).append(name)
    if by_split:
        return by_split
    for name in names:
        words = set(re.split(r"[-._ 0-9/]+", name.rpartition(".")[0].casefold()))
        splits = [split for split, usual in _WORDS.items() if words & set(usual)]
        if len(splits) > 1:
            raise DataError(
                f"which split of '{place}' is '{name}'?",
                why=f"its name is that of {' and of '.join(splits)}",
                fix='name the files: path = "hf://datasets/ORG/NAME@COMMIT/..."',
                dataset=place.name,
            )
        if splits:
            by_split.setdefault(splits[0], []).append(name)
    ordered = {split: by_split[split] for split in _WORDS if split in by_split}
    return ordered or ({"train": list(names)} if names else {})
