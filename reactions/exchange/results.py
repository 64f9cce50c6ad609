"""Results for a model card: what ``molspace eval --json`` wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError
from reactions.core.local_files import exists, read_small_file

_SCHEMA = "molspace.eval/1"
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class MetricScore:
    """One metric of one task.

    Attributes:
        task: its name.
        metric: its name.
        value: in percent.
        main: whether it is the task's own metric.
        n: items scored.
        lab: where it was measured.
        conditions: factors, experts and prompt; "" for none.
    """

    task: str
    metric: str
    value: float
    main: bool
    n: int
    lab: str
    conditions: str


def read_results(path: Path, expression: str) -> tuple[MetricScore, ...]:
    """Read the results of one product.

    Args:
        path: what ``molspace eval --json`` wrote.
        expression: the product's canonical reaction, to which they must belong.

    Raises:
        MissingError: there is no such file.
        DataError: it holds something else, or the results of something else.
    """
    if not exists(path):
        raise MissingError(
            f"no results at '{path}'", fix=f"molspace eval --task all --json > {path}"
        )
    try:
        data = json.loads(read_small_file(path, _MAX_BYTES))
        if data["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {data['schema']!r}")
        records = list(data["results"])
        scores = tuple(score for record in records for score in _scores(record))
        spaces = {str(record["space"]) for record in records}
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(
            f"'{path}' holds no results",
            why=" ".join(str(error).split()) or type(error).__name__,
            fix=f"molspace eval --task all --json > {path}",
            path=str(path),
        ) from None
    if not scores:
        raise DataError(f"'{path}' holds no results", why="its list is empty", path=str(path))
    if other_spaces := sorted(spaces - {expression}):
        raise DataError(
            f"'{path}' holds results of something else",
            why=f"they are of {other_spaces[0]}, the bundle is {expression}",
            fix=f"molspace eval --space BUNDLE --task all --json > {path}",
            path=str(path),
        )
    return scores


def _training(record: Mapping[str, Any]) -> list[str]:
    """Return that a score is not zero-shot, what was trained on, and how much of what is scored."""
    setting, trained = record.get("setting", "zero-shot"), record.get("trained_on", ())
    remarks: list[str] = []
    if setting == "unknown":
        remarks.append("not known to be zero-shot: what was trained on cannot be compared")
    elif setting == "fine-tuned":
        names = dict.fromkeys(str(entry["corpus"]) for entry in trained)
        remarks.append(f"not zero-shot: fine-tuned on {', '.join(names)}")
    elif setting not in ("zero-shot", "by training items"):  # the latter are told with centres
        remarks.append(f"not zero-shot: {setting}")
    if count := sum(int(entry["scored"] or 0) for entry in trained):
        remarks.append(f"{count:,} scored items were trained on")
    return remarks


def _scores(record: Mapping[str, Any]) -> Sequence[MetricScore]:
    conditions = [
        f"{name}: " + ", ".join(f"{modality} {value:g}" for modality, value in values.items())
        for name, values in record["factors"].items()
    ]
    conditions += [f"mean of {stage}: {mean}" for stage, mean in record.get("means", {}).items()]
    if record["experts"] is not None:
        conditions.append("experts: " + ", ".join(map(str, record["experts"])))
    if prompts := record["prompts"]:
        more = f" and {len(prompts) - 1} more" if len(prompts) > 1 else ""
        conditions.append(f'prompt: "{prompts[0]}"{more}')
    if centres := record.get("centres"):
        source = centres.get("kb") or centres.get("file")
        selection = " ".join(str(centres[key]) for key in ("selection", "k") if key in centres)
        rule = f"{centres['rule']} {centres['m']}" if "m" in centres else centres["rule"]
        conditions.append(f"classes by centres: {source}, {selection}, {rule}")
        if not centres["zero_shot"]:
            conditions.append(f"not zero-shot: by items of {centres['items']}")
    conditions += _training(record)
    scores = []
    for name, value in record["metrics"].items():
        if not math.isfinite(value):
            raise ValueError(f"{record['task']} {name} is {value}")
        scores.append(
            MetricScore(
                task=str(record["task"]),
                metric=str(name),
                value=float(value),
                main=name == record["main"],
                n=int(record["n"]),
                lab=str(record["lab"]),
                conditions="; ".join(conditions),
            )
        )
    return scores
