"""Reading a published set that a test wrote."""

from pathlib import Path

from reactions.core.types import Corpus
from reactions.eval.protocol import check
from reactions.eval.registry import Folders, find_set, get_task
from reactions.eval.task_data import (
    BenchmarkData,
    ClassificationData,
    RetrievalData,
)


def read(task: str, root: Path) -> BenchmarkData:
    data = find_set(task, Folders(root=root)).read()
    check(get_task(task), data)
    return data


def ids(corpus: Corpus) -> list[str]:
    return [item.id for item in corpus.items(0, len(corpus))]


def values(corpus: Corpus) -> list[object]:
    return [item.value for item in corpus.items(0, len(corpus))]


def sides(data: BenchmarkData) -> list[Corpus]:
    return [data.left, data.right] if isinstance(data, RetrievalData) else [data.queries]


def split(task: str, name: str, root: Path) -> ClassificationData:
    return find_set(task, Folders(root=root)).split(name)


def classed(data: ClassificationData) -> dict[str, str]:
    """Class of each item, without the set's name."""
    names = [data.classes[label] for label in data.labels]
    short = [id.partition("/")[2] for id in ids(data.queries)]
    return dict(zip(short, names, strict=True))


def labels_of(data: ClassificationData) -> list[str]:
    return [data.classes[label] for label in data.labels]
