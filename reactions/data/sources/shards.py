"""Samples of WebDataset shards as rows: media where they lie, captions as texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from reactions.core.addresses import Entry
from reactions.core.errors import MissingError
from reactions.core.file_names import nfc
from reactions.core.hashing import digest
from reactions.core.storage import Blob, open_in_order
from reactions.core.text_lines import NOT_UTF8, decode_text
from reactions.core.transient import run_again
from reactions.core.types import Modality
from reactions.data.corpora import check_ids
from reactions.data.scan_cache import ScanTable, Strings, TableCache
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.data.sources.files import refuse_other_modalities
from reactions.data.sources.parts import CorpusPart, ShardPart, TextPart, no_items, signature_of
from reactions.data.sources.tar_index import index_shards, split_member
from reactions.data.sources.text_values import captions_in, check_options, parse_json
from reactions.modalities.base import CheckDepth, at_least
from reactions.modalities.registry import READ_AS_LISTS, check, get
from reactions.modalities.suffixes import (
    is_packaged,
    may_hold,
    other_kind,
    suffix_of,
    without_borrowed,
)
from reactions.modalities.text import TEXT

_VERSION = 3
_MAX_TEXT_BYTES = 1 << 24
_TOO_LONG = f"longer than {_MAX_TEXT_BYTES} bytes"
TEXTS = ("txt", "caption", "text", "json")
"""Files of a sample that may hold its caption, the first that is there."""


@dataclass
class _Sample:
    """The files of one sample: rest of the name to row in the shard's index."""

    key: str
    files: dict[str, int] = field(default_factory=dict)
    problem: str = ""


def shards_part(
    name: str,
    shards: Sequence[Entry],
    modality: Modality,
    source: Source,
    *,
    tables: TableCache,
    on_progress: OnProgress = silent,
) -> CorpusPart:
    """Return the rows of one modality in WebDataset shards, one a sample.

    A row's id is its sample's key; where shards repeat keys, all are prefixed by their
    shard's name. Captions come from ``.txt``, ``.caption``, ``.text`` or ``.json`` files; a
    list of captions gives rows ``key/0``, ``key/1``, ...

    Args:
        name: of the part.
        shards: the tars, in order.
        modality: text, or one whose files are known by their endings.
        source: columns, member and depth.
        tables: remembers what earlier runs found.
        on_progress: of the progress.

    Raises:
        DataError: a tar is cut short, damaged or compressed, or a key is repeated in it.
        MissingError: no sample has this modality.
    """
    inline = get(modality).inline
    if not inline:
        refuse_other_modalities(modality)
    for shard in shards if inline else ():
        check_options(shard, source)
    for depth in at_least(source.check):
        options = [modality, list(source.columns), source.member, depth, _VERSION]
        if own_version := get(modality).check_version:
            options.append(own_version)
        cached = "samples-" + digest("scan", [[shard.url for shard in shards], *options])[:32]
        signature = signature_of([digest("options", options), *(shard.stamp for shard in shards)])
        if (table := tables.get(cached, signature)) is not None:
            break
    else:
        if inline:
            table = _texts(name, shards, source, tables, on_progress)
        else:
            table = _media(name, shards, modality, source, tables, on_progress)
        table = tables.put(cached, signature, table)
    size_bytes = int(table.facts["size_bytes"])
    kind = TextPart if inline else ShardPart
    return kind(name, table, signature, size_bytes)


def _samples(
    shards: Sequence[Entry],
    modality: Modality,
    depth: CheckDepth,
    tables: TableCache,
    on_progress: OnProgress,
) -> Iterator[tuple[int, ScanTable, list[_Sample]]]:
    """Yield number, index and samples of each shard, in order."""
    indexes = index_shards(
        shards, modality=modality, tables=tables, depth=depth, on_progress=on_progress
    )
    for number, index in enumerate(indexes):
        samples: dict[str, _Sample] = {}
        for row, member in enumerate(index.strings("member")):
            key, rest = split_member(member)
            sample = samples.setdefault(key, _Sample(key))
            if sample.files.setdefault(rest, row) != row:
                sample.problem = f"'{member}' is in the tar twice"
        yield number, index, list(samples.values())


def _media(
    name: str,
    shards: Sequence[Entry],
    modality: Modality,
    source: Source,
    tables: TableCache,
    on_progress: OnProgress,
) -> ScanTable:
    keys: list[str] = []
    members: list[str] = []
    tags: list[str] = []
    whys: list[str] = []
    numbers: list[tuple[int, int, int]] = []
    file_counts: Counter[str] = Counter()
    n_loose = 0
    for number, index, samples in _samples(shards, modality, source.check, tables, on_progress):
        n_loose += int(index.facts.get("loose", 0))
        names, digests, verdicts = (list(index.strings(c)) for c in ("member", "tag", "why"))
        offsets, sizes = index.numbers("offset").tolist(), index.numbers("size").tolist()
        for sample in samples:
            file_counts.update(sample.files.keys())
            rest, why = _pick(sample, modality, source.member)
            keys.append(sample.key)
            row = sample.files.get(rest)
            if row is None:
                numbers.append((number, 0, 0))
                members.append("")
                tags.append("")
            else:
                numbers.append((number, offsets[row], sizes[row]))
                members.append(names[row])
                tags.append(digests[row])
                why = why or verdicts[row]
                if not why and is_packaged(names[row]):  # which no index looks at
                    media = Blob(shards[number].url, offsets[row], sizes[row], names[row])
                    why = check(modality, media, source.check)
            whys.append(why)
    if not any(members):
        raise _nothing(name, modality, file_counts)
    columns = np.array(numbers, np.int64).reshape(-1, 3)
    return ScanTable(
        {
            "id": Strings.pack(_ids(name, modality, shards, keys, columns[:, 0].tolist())),
            "shard": columns[:, 0].astype(np.int32),
            "offset": columns[:, 1],
            "size": columns[:, 2],
            "member": Strings.pack(members),
            "tag": Strings.pack(tags),
            "why": Strings.pack(whys),
        },
        {
            "shards": [shard.url for shard in shards],
            "size_bytes": int(columns[:, 2].sum()),
            **_loose_facts(n_loose),
        },
    )


def _loose_facts(n: int) -> dict[str, Any]:
    if not n:
        return {}
    what = "1 member of the tars is" if n == 1 else f"{n} members of the tars are"
    notice = f"{what} left out: without an ending in their names they belong to no sample"
    return {"others": {"": n}, "notices": [notice]}


def _pick(sample: _Sample, modality: Modality, member: str) -> tuple[str, str]:
    """Return which of a sample's files is meant, and why none is."""
    if sample.problem:
        return "", sample.problem
    if member:
        why = f"it has no {member}, but {', '.join(sample.files)}"
        rest = _file_called(sample, member)
        return (rest, "") if rest else ("", why)
    fitting = [
        f"x.{rest}"
        for rest in sample.files
        # A sample's texts are captions.
        if may_hold(f"x.{rest}", modality) and suffix_of(f"x.{rest}") not in READ_AS_LISTS
    ]
    fitting = [n.removeprefix("x.") for n in without_borrowed(fitting, modality)]
    # KEY.jpg comes before KEY.left.jpg.
    plain = [rest for rest in fitting if "." not in rest]
    candidates = plain if len(plain) == 1 else fitting
    if len(candidates) == 1:
        return candidates[0], ""
    if fitting:
        return "", f'several {modality} files, {", ".join(fitting)}; say member = "{fitting[0]}"'
    descriptions = (_described(rest, modality) for rest in sample.files)
    return "", f"no {modality} file, but {', '.join(descriptions)}"


def _described(rest: str, modality: Modality) -> str:
    """Return what a sample's file is called, and why it is not decoded where that is known."""
    kind = other_kind(f"x.{rest}", modality)
    return f"{rest} ({kind.name}: {kind.fix})" if kind else rest


def _file_called(sample: _Sample, name: str) -> str:
    """Return a sample's file of this name, in either Unicode form; "" if there is none."""
    if name in sample.files:
        return name
    return next((rest for rest in sample.files if nfc(rest) == nfc(name)), "")


def _texts(
    name: str, shards: Sequence[Entry], source: Source, tables: TableCache, on_progress: OnProgress
) -> ScanTable:
    ids: list[str] = []
    numbers: list[int] = []
    texts: list[str] = []
    places: list[str] = []
    whys: list[str] = []
    file_counts: Counter[str] = Counter()
    n_captions = 0
    for number, index, samples in _samples(shards, TEXT.name, source.check, tables, on_progress):
        offsets, sizes = index.numbers("offset"), index.numbers("size")
        members = index.strings("member")
        with open_in_order(shards[number]) as stream:
            for sample in samples:
                file_counts.update(sample.files.keys())
                usual = (source.member,) if source.member else TEXTS
                rest = next(filter(None, (_file_called(sample, r) for r in usual)), "")
                pairs = [("", sample.problem or f"no caption, but {', '.join(sample.files)}")]
                place = shards[number].url
                if rest and not sample.problem:
                    row = sample.files[rest]
                    place = str(Blob(place, member=members[row]))
                    pairs = [("", _TOO_LONG)]
                    if sizes[row] <= _MAX_TEXT_BYTES:
                        data = _read(stream, shards[number], int(offsets[row]), int(sizes[row]))
                        pairs = _captions(data, rest, source.columns)
                    n_captions += 1
                for i, (text, why) in enumerate(pairs):
                    ids.append(sample.key if len(pairs) == 1 else f"{sample.key}/{i}")
                    numbers.append(number)
                    texts.append(text)
                    places.append(place)
                    whys.append(why)
    if not n_captions:
        raise _nothing(name, TEXT.name, file_counts)
    return ScanTable(
        {
            "id": Strings.pack(_ids(name, TEXT.name, shards, ids, numbers)),
            "text": Strings.pack(texts),
            "place": Strings.pack(places),
            "why": Strings.pack(whys),
        },
        {"size_bytes": sum(map(len, texts))},
    )


def _read(stream: BinaryIO, shard: Entry, offset: int, size_bytes: int) -> bytes:
    try:
        stream.seek(offset)
        return stream.read(size_bytes)
    except OSError as error:
        raise run_again(shard.url, error) from error


def _captions(data: bytes, rest: str, columns: tuple[str | int, ...]) -> list[tuple[str, str]]:
    if rest.rpartition(".")[2] != "json":
        try:
            return captions_in(decode_text(data))
        except UnicodeDecodeError:
            return [("", NOT_UTF8)]
    record, why = parse_json(data)
    return captions_in(record, columns) if record is not None else [("", why)]


def _ids(
    name: str,
    modality: Modality,
    shards: Sequence[Entry],
    keys: list[str],
    numbers: list[int],
) -> list[str]:
    if len(set(keys)) < len(keys):
        stems = [shard.name.removesuffix(".tar") for shard in shards]
        if len(set(stems)) < len(stems):
            stems = [str(number) for number in range(len(shards))]
        keys = [f"{stems[number]}/{key}" for key, number in zip(keys, numbers, strict=True)]
    check_ids(name, modality, keys)
    return keys


def _nothing(name: str, modality: Modality, file_counts: Counter[str]) -> MissingError:
    most = ", ".join(f".{rest} ({n})" for rest, n in file_counts.most_common(5))
    kinds = (other_kind(f"x.{rest}", modality) for rest, _ in file_counts.most_common())
    if (kind := next(filter(None, kinds), None)) is not None:
        fix = f"{kind.name} is not decoded: {kind.fix}"
        return no_items(modality, name, f"samples hold {most}", fix)
    return no_items(
        modality,
        name,
        f"samples hold {most}" if most else "its shards hold no samples",
        'say which file of a sample is meant: member = "..."' if most else "check the shards",
    )
