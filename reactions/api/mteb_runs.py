"""Tasks of mteb by name, run with a space, and what came out."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reactions.api.mteb_model import EXTRA, MtebModel
from reactions.core.errors import (
    MissingError,
    MolspaceError,
    StepError,
    StoreError,
    UsageError,
    guarded,
    suggestion,
)
from reactions.core.protocols import offline
from reactions.encoders.packages import import_package
from reactions.exchange.card_data import says_mini

_COMMA = re.compile(r",(?![^(]*\))")  # "MTEB(eng, v2)" is one name
_SOUND_DECODER = "torchcodec"
_RESULTS_REPOSITORY = "embeddings-benchmark/results"


@dataclass(frozen=True)
class MtebScore:
    """What a space reached on one task of mteb.

    Attributes:
        task: its name.
        kind: mteb's type of task, such as ``"Any2AnyRetrieval"``.
        main: the metric that stands for the task.
        value: the main metric's mean over splits and subsets, as mteb gives it: from 0 to 1 for
            most metrics; NaN where mteb gives no number, as for correlations with a constant.
        scores: split to a list of mteb's scores, one a subset.
        path: the file that mteb keeps them in.
        mteb_version: that computed them.
    """

    task: str
    kind: str
    main: str
    value: float
    scores: Mapping[str, Sequence[Mapping[str, Any]]] = field(repr=False)
    path: Path
    mteb_version: str

    @property
    def is_number(self) -> bool:
        """Whether mteb gives a number at all."""
        return math.isfinite(self.value)

    def to_json(self) -> dict[str, Any]:
        """Return all of it, JSON-able."""
        return {
            "task": self.task,
            "type": self.kind,
            "main": self.main,
            "score": self.value if self.is_number else None,
            "scores": self.scores,
            "file": str(self.path),
            "mteb": self.mteb_version,
        }


def open_mteb() -> Any:
    """Import mteb; where the network is forbidden to molspace, it is to mteb.

    Raises:
        MissingError: it is not installed.
    """
    if offline():
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
            os.environ.setdefault(name, "1")
    return import_package("mteb", "molspace mteb", EXTRA)


@dataclass(frozen=True, slots=True)
class NamedTasks:
    """What a name stands for in mteb.

    Attributes:
        name: as it was given.
        tasks: mteb's, one or a benchmark's.
        is_benchmark: whether it names a benchmark, of which a space may do a part.
    """

    name: str
    tasks: Sequence[Any]
    is_benchmark: bool


def find_tasks(names: Iterable[str]) -> list[NamedTasks]:
    """Look names up in mteb.

    Args:
        names: of tasks and of benchmarks, several of them with commas between.

    Raises:
        UsageError: a name is unknown.
    """
    mteb = open_mteb()
    task_names = [name.strip() for text in names for name in _COMMA.split(text) if name.strip()]
    if not task_names:
        raise UsageError("no task is named", fix="--tasks ESC50   or a benchmark: 'MIEB(lite)'")
    for name in task_names:
        if name.endswith(".py") or os.sep in name:
            raise UsageError(
                f"'{name}' is a file, and --tasks takes names",
                why="code is never loaded by its path",
                fix="mteb.evaluate(fused.mteb_model(), [MyTask()]) in Python: docs/quality.md",
            )
    return [_named(mteb, name) for name in task_names]


def fitting_tasks(
    named: Collection[NamedTasks], modalities: Collection[str]
) -> tuple[list[Any], list[str]]:
    """Return the tasks that a space can do.

    Args:
        named: what names stand for.
        modalities: that the space embeds.

    Returns:
        The tasks, each once, and notes on those of benchmarks that the space cannot do.

    Raises:
        UsageError: a task that is named needs other modalities, or no task is left.
    """
    tasks: dict[str, Any] = {}
    notes: list[str] = []
    refused: dict[str, str] = {}
    for entry in named:
        left_out = []
        for task in entry.tasks:
            lacking = ", ".join(sorted(set(task.metadata.modalities).difference(modalities)))
            if not lacking:
                tasks.setdefault(task.metadata.name, task)
            elif entry.is_benchmark:
                left_out.append(task.metadata.name)
            else:
                refused[task.metadata.name] = lacking
        if left_out:
            notes.append(
                f"{entry.name}: {len(left_out)} of {len(entry.tasks)} tasks need what the space "
                f"does not embed, and are left out: {', '.join(left_out)}"
            )
    if refused:
        raise UsageError(
            f"the space cannot do {', '.join(refused)}",
            why="; ".join(f"{name} needs {lacking}" for name, lacking in refused.items())
            + f"; it embeds {', '.join(modalities)}",
            fix="leave them out, or take a space that embeds it",
        )
    if not tasks:
        names = ", ".join(entry.name for entry in named)
        raise UsageError(f"the space can do no task of {names}", why="; ".join(notes))
    return list(tasks.values()), notes


def _named(mteb: Any, name: str) -> NamedTasks:
    try:
        return NamedTasks(name, [mteb.get_task(name)], is_benchmark=False)
    except KeyError:
        pass
    try:
        return NamedTasks(name, list(mteb.get_benchmark(name).tasks), is_benchmark=True)
    except KeyError:
        names = [task.metadata.name for task in mteb.get_tasks(exclude_superseded=False)]
        names += [benchmark.name for benchmark in mteb.get_benchmarks()]
        near = suggestion(name, names)
        if not near.startswith("did you mean"):  # all of two thousand names help nobody
            near = "mteb available-tasks   lists them"
        raise UsageError(f"mteb has no task '{name}'", fix=near) from None


def result_cache(labels: Sequence[str], out: Path | None) -> Any:
    """Return where results go: mteb's ``ResultCache``.

    Args:
        labels: of the labs that what is scored comes from (``mteb_model.labels_of``).
        out: a folder of the caller's; None takes mteb's own ($MTEB_CACHE, or ~/.cache/mteb).

    Raises:
        UsageError: the mini lab's results would come where results are published from.
        StoreError: the folder cannot be made.
    """
    mteb = open_mteb()
    default_folder = Path(os.environ.get("MTEB_CACHE") or Path.home() / ".cache" / "mteb")
    folder = default_folder if out is None else out
    is_rehearsal = any(map(says_mini, labels))
    if is_rehearsal and (why := _published_from(folder, default_folder)):
        raise UsageError(
            "results of the mini lab are not written where results are published from",
            why=f"lab: {', '.join(labels)}, and {why}",
            fix="--out DIR, a folder of its own",
        )
    try:
        return mteb.ResultCache(cache_path=folder)
    except OSError as error:
        raise StoreError(
            f"cannot write to {folder}",
            why=error.strerror or str(error),
            fix="another place with --out",
        ) from None


def _published_from(folder: Path, default_folder: Path) -> str:
    """Return why results in a folder may come to be published; "" if nothing says so."""
    absolute = folder.absolute()
    if absolute == default_folder.absolute():
        return f"mteb submits what lies in {default_folder}"
    for place in (absolute / "remote", absolute, *absolute.parents):
        try:
            config = (place / ".git" / "config").read_text(errors="replace")
        except OSError:
            continue
        if _RESULTS_REPOSITORY in config:
            return f"{place} is a copy of {_RESULTS_REPOSITORY}"
    return ""


def run_tasks(
    model: MtebModel,
    tasks: Sequence[Any],
    cache: Any,
    *,
    batch_size: int = 32,
    overwrite: bool = False,
    progress: bool = False,
    on_failure: Callable[[str, MolspaceError], None] | None = None,
) -> Iterator[MtebScore]:
    """Run tasks one after another, and yield what came out; what mteb has already is not run.

    Args:
        model: what does them.
        tasks: of mteb's.
        cache: from ``result_cache``.
        batch_size: items that mteb hands over at once.
        overwrite: run again what is there.
        progress: whether mteb shows bars on stderr.
        on_failure: called with the name of a task that failed, and why; the others are then run.
            Without it the error is raised.

    Raises:
        MissingError: a task's data cannot be loaded.
        StepError: mteb cannot do a task.
        MolspaceError: an item cannot be embedded.
    """
    mteb = open_mteb()
    for task in tasks:
        name = task.metadata.name
        _explain_loading(task)
        try:
            with guarded(lambda error, name=name: _failed(name, error)):  # type: ignore[misc]
                (result,) = mteb.evaluate(
                    model,
                    task,
                    co2_tracker=False,
                    encode_kwargs={"batch_size": batch_size, "show_progress_bar": progress},
                    cache=cache,
                    overwrite_strategy="always" if overwrite else "only-missing",
                    show_progress_bar=progress,
                ).task_results
                score = float(result.get_score())
        except MolspaceError as error:
            if on_failure is None:
                raise
            on_failure(name, error)
            continue
        yield MtebScore(
            task=name,
            kind=task.metadata.type,
            main=task.metadata.main_score,
            value=score,
            scores=result.scores,
            path=Path(cache.get_task_result_path(name, model.mteb_model_meta)),
            mteb_version=str(result.mteb_version),
        )


def _explain_loading(task: Any) -> None:
    """Let a task say why its data cannot be loaded: mteb passes on whatever was raised."""
    for part in getattr(task.metadata, "tasks", None) or ():  # of an aggregate
        _explain_loading(part)
    load = task.load_data

    def load_data(*args: Any, **kwargs: Any) -> Any:
        with guarded(lambda error: _not_loaded(task, error)):
            return load(*args, **kwargs)

    task.load_data = load_data


def _not_loaded(task: Any, error: Exception) -> MissingError:
    metadata = task.metadata
    dataset = (metadata.dataset or {}).get("path", "")
    why = _first(error)
    fix = f"a connection to the hub, or {dataset} in the cache of datasets ($HF_HOME)"
    if to_install := _to_install(error):
        fix = to_install
    elif forbidden := offline():
        why = f"{forbidden} forbids to fetch {dataset}"
        fix = (
            f"take {forbidden.partition('=')[0]} away, or bring {dataset} into the cache of "
            "datasets ($HF_HOME) first"
        )
    return MissingError(
        f"the data of {metadata.name} cannot be loaded",
        why=why,
        fix=fix,
        task=metadata.name,
        dataset=dataset,
    )


def _to_install(error: Exception) -> str:
    """Return what to install where an error is about a package; "" where it is not."""
    if _SOUND_DECODER in str(error):
        return f"pip install {_SOUND_DECODER}   and FFmpeg: datasets decodes sounds by them"
    if isinstance(error, ImportError):
        return f"install {error.name or 'what it names'}, which these data need"
    return ""


def _failed(name: str, error: Exception) -> StepError:
    fix = _to_install(error)
    return StepError(f"mteb cannot do {name}", why=_first(error), fix=fix, task=name)


def _first(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:400].rstrip(": ")
