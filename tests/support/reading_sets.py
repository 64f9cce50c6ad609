"""Reading a published set that a test wrote."""

from pathlib import Path

from reactions.core.types import Corpus
from reactions.eval.protocol import check
from reactions.eval.registry import Folders, find_set, get_task
from reactions.eval.task_data import (
    BenchmarkData,
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
