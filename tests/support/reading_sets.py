"""Reading a published set that a test wrote."""

from pathlib import Path

from reactions.core.types import Corpus
from reactions.eval.protocol import check
from reactions.eval.task_data import (
    BenchmarkData,
    RetrievalData,
)
from reactions.eval.tasks.registry import (
    Folders,
    find_set,
    read_set,
)
from reactions.eval.tasks.task import TASKS


def read(task: str, root: Path) -> BenchmarkData:
    data = read_set(find_set(task, Folders(root=root)))
    check(TASKS[task], data)
    return data


def ids(corpus: Corpus) -> list[str]:
    return [item.id for item in corpus.items(0, len(corpus))]


def values(corpus: Corpus) -> list[object]:
    return [item.value for item in corpus.items(0, len(corpus))]


def sides(data: BenchmarkData) -> list[Corpus]:
    return [data.left, data.right] if isinstance(data, RetrievalData) else [data.queries]
