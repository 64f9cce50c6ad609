"""Records in a JSON document: of a list, annotations with what they annotate, captions by file.

COCO's captions join two lists, and so do MSR-VTT's; Karpathy's splits of COCO and Flickr are a list
of images under a key, whose sentences are nested. Fields of fields are named by dots:
``sentences.raw`` is the text of every sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from reactions.core.addresses import Entry
from reactions.core.errors import DataError
from reactions.data.sources.text_values import parse_json
from reactions.modalities.suffixes import modality_of

_JOINED: Final = (
    ("images", "id", "annotations", "image_id"),
    ("videos", "video_id", "sentences", "video_id"),
    ("audios", "id", "annotations", "audio_id"),
)
"""Items, their key, what is said of them, and its key of the item."""

_MAX_BYTES: Final = 1 << 30
_LOOKED_AT: Final = 100
"""Records whose fields are listed."""

LACKING: Final = object()


@dataclass(frozen=True)
class JsonRecords:
    """The records of a document.

    Attributes:
        layout: what was recognised, for people.
        columns: names of their fields; of nested ones, with dots.
        records: in order; a text says why one cannot be used.
        remarks: what was left out.
    """

    layout: str
    columns: tuple[str, ...]
    records: Sequence[Mapping[str, Any] | str]
    remarks: tuple[str, ...] = ()


def read_json_records(file: Entry, stream: BinaryIO) -> JsonRecords:
    """Return the records of a JSON document.

    Args:
        file: for messages.
        stream: its bytes.

    Raises:
        DataError: it is not JSON, or it is not clear which of its parts are the records.
        OSError: as of the stream.
    """
    data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise _unclear(file, f"it is larger than {_MAX_BYTES >> 30} GB", "write it as .jsonl")
    document, why = parse_json(data)
    if why and (rows := _lines(data)):
        return JsonRecords(f"a record a line, {len(rows):,}", columns_of(rows), rows)
    if why:
        raise _unclear(file, why, "copy it again; a file with a record a line is called .jsonl")
    if isinstance(document, list):
        return _of_list(document, "a list of records")
    if not isinstance(document, dict):
        raise _unclear(file, "it holds neither a list nor an object", _FIX)
    for items, key, texts, text_key in _JOINED:
        if _is_records(document.get(items)) and _is_records(document.get(texts)):
            return _joined(document, items, key, texts, text_key)
    if document and all(map(_is_captions, document.values())) and modality_of(next(iter(document))):
        records = [{"file": name, "caption": texts} for name, texts in document.items()]
        return JsonRecords(f"captions by file, {len(records):,}", ("file", "caption"), records)
    lists = [name for name, value in document.items() if _is_records(value)]
    if len(lists) == 1:
        rest = [name for name in document if name != lists[0]]
        listed = _of_list(document[lists[0]], f"the list under '{lists[0]}'")
        return JsonRecords(listed.layout, listed.columns, listed.records, _beside(rest))
    named = f"several lists: {', '.join(lists)}" if lists else f"the keys {', '.join(document)}"
    raise _unclear(file, f"it holds {named}"[:200] if document else "it is empty", _FIX)


def _lines(data: bytes) -> list[Mapping[str, Any] | str]:
    """Return the records of lines, as data sets often have in files called so; [] of others."""
    lines = [line for line in data.splitlines() if line.strip()]
    first, why = parse_json(lines[0]) if len(lines) > 1 else (None, "")
    if why or not isinstance(first, dict):
        return []
    read = [(record, why or _NO_RECORD) for record, why in map(parse_json, lines)]
    return [record if isinstance(record, Mapping) else why for record, why in read]


def value_at(record: Mapping[str, Any], name: str) -> Any:
    """Return a field of a record, nested ones by dots; of lists, a list of what each part has.

    Returns:
        ``LACKING`` where the record has no such field.
    """
    if name in record:
        return record[name]
    head, dot, rest = name.partition(".")
    while dot:
        if isinstance(value := record.get(head), Mapping):
            return value_at(value, rest)
        if isinstance(value, list):
            parts = [value_at(part, rest) for part in value if isinstance(part, Mapping)]
            return [part for part in parts if part is not LACKING] if parts else LACKING
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return LACKING


def columns_of(records: Sequence[Mapping[str, Any] | str]) -> tuple[str, ...]:
    """Return the names of the fields that the first of some records have."""
    names: dict[str, None] = {}
    for record in records[:_LOOKED_AT]:
        if isinstance(record, Mapping):
            names |= dict.fromkeys(_names(record))
    return tuple(names)


def _names(record: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in record.items():
        nested = value if isinstance(value, Mapping) else _first_record(value)
        if nested is None:
            yield f"{prefix}{name}"
        elif prefix.count(".") < 2:
            yield from _names(nested, f"{prefix}{name}.")


def _first_record(value: Any) -> Mapping[str, Any] | None:
    first = value[0] if isinstance(value, list) and value else None
    return first if isinstance(first, Mapping) else None


_NO_RECORD: Final = "it is not an object with fields"


def _of_list(records: list[Any], what: str) -> JsonRecords:
    if records and all(isinstance(record, str) for record in records):
        texts = [{"text": text} for text in records]
        return JsonRecords(f"a list of texts, {len(texts):,}", ("text",), texts)
    rows = [record if isinstance(record, Mapping) else _NO_RECORD for record in records]
    return JsonRecords(f"{what}, {len(rows):,}", columns_of(rows), rows)


def _joined(
    document: Mapping[str, Any], items: str, key: str, texts: str, text_key: str
) -> JsonRecords:
    """Return what is said of items, each with its item's own fields."""
    item_of: dict[Any, Mapping[str, Any]] = {}
    n_repeated = 0
    for item in document[items]:
        if isinstance(item, Mapping) and isinstance(item.get(key), str | int):
            n_repeated += item_of.setdefault(item[key], item) != item
    labels = _labels(document)
    records: list[Mapping[str, Any] | str] = []
    used: Counter[Any] = Counter()
    for text in document[texts]:
        id = text.get(text_key) if isinstance(text, Mapping) else None
        item = item_of.get(id) if isinstance(id, str | int) else None
        if item is None:
            records.append(f"'{items}' has none with the {key} of its '{text_key}', {id!r}"[:120])
            continue
        used[id] += 1
        number = text.get("category_id")
        label = {"category": labels[number]} if isinstance(number, int) and number in labels else {}
        # An annotation's own fields count: both have an id.
        records.append({**item, **text, **label})
    remarks = []
    if n_unused := len(document[items]) - len(used):
        remarks.append(f"{n_unused:,} of its {len(document[items]):,} {items} have no {texts}")
    if n_repeated:
        remarks.append(f"{n_repeated:,} of its {items} have the {key} of another, which is taken")
    layout = f"{len(records):,} {texts} of {len(used):,} {items}"
    return JsonRecords(layout, columns_of(records), records, tuple(remarks))


def _labels(document: Mapping[str, Any]) -> dict[Any, str]:
    """Return the names of the classes that COCO's boxes are numbered by."""
    categories = document.get("categories", [])
    return {
        category["id"]: category["name"]
        for category in (categories if isinstance(categories, list) else [])
        if isinstance(category, Mapping)
        and isinstance(category.get("id"), int)
        and isinstance(category.get("name"), str)
    }


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _is_captions(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(text, str) for text in value)
    )


def _beside(names: Sequence[str]) -> tuple[str, ...]:
    return (f"beside it, not read: {', '.join(names)}"[:200],) if names else ()


_FIX: Final = (
    "a list of records, an object with one such list, COCO's captions, or captions by file are "
    "read; or write a record a line, as .jsonl"
)


def _unclear(file: Entry, why: str, fix: str) -> DataError:
    return DataError(f"cannot read the table '{file.url}'", why=why, fix=fix, path=file.url)
