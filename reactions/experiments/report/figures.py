"""What the page draws: plain lists and numbers, made of a report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.types import Space
from reactions.experiments.report.maps import Method, flatten
from reactions.experiments.report.product_report import ProductReport, record_losses
from reactions.products.aligned import LCL
from reactions.products.tree import mixtures
from reactions.products.tunings import learning_name

_PROJECTOR = re.compile(r"(\d+)\.(.+)")
_PART = re.compile(r"part\.(\d+)(?:\.(.+))?")


def loss_groups(record: Mapping[str, Any], space: Space) -> list[dict[str, Any]]:
    """Return the loss curves, those of one pair of spaces together.

    Returns:
        Groups with a ``title`` and ``curves``; a curve has a ``name`` and ``losses``, the mean of
        each epoch in nats.
    """
    titles = {}
    for index, (fusion, i) in enumerate(mixtures(space)):
        expert = fusion.experts[i]
        titles[index] = f"{fusion.base.label} + {fusion.op.capitalize()}({expert.label})"
    groups: dict[str, list[dict[str, Any]]] = {title: [] for title in titles.values()}
    for name, losses in record_losses(record).items():
        match = _PROJECTOR.fullmatch(name)
        if match is not None and int(match[1]) in titles:
            groups[titles[int(match[1])]].append({"name": match[2], "losses": losses})
        else:
            title, curve = _trained_title(record, name)
            groups.setdefault(title, []).append({"name": curve, "losses": losses})
    return [
        {"title": title, "curves": sorted(curves, key=lambda c: (len(c["name"]), c["name"]))}
        for title, curves in groups.items()
        if curves
    ]


def _trained_title(record: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Return what a part is called, as ``Ft(audio~image)`` or ``Lcl(kb)``, and its curve."""
    match = _PART.fullmatch(name)
    parts = record.get("parts", [])
    if match is None or int(match[1]) >= len(parts):
        return name, "tuned"
    part = parts[int(match[1])]
    about = part["about"]
    if part.get("kind") == LCL:
        return learning_name(about), match[2] or "aligned"
    return f"Ft({about.get('modality', '?')}~{about.get('paired', '?')})", "tuned"


def map_figure(report: ProductReport, method: Method) -> dict[str, Any] | None:
    """Return the map: places of the same items before and after, with modality and class.

    Each space is projected by itself, all its items together.
    """
    if not report.samples:
        return None
    panels = []
    for side, view in enumerate(report.views):
        shown = [
            (sample, pair[side])
            for sample, pair in zip(report.samples, report.places, strict=True)
            if pair[side] is not None
        ]
        if not shown:
            continue
        rows = np.concatenate([sample_rows for _, sample_rows in shown if sample_rows is not None])
        if len(rows) < 3:
            continue
        places, shares = flatten(rows, method)
        panels.append(
            {
                "title": view.name,
                "x": _short(places[:, 0]),
                "y": _short(places[:, 1]),
                "shares": [round(100 * share, 1) for share in shares],
                "modality": [s.modality for s, _ in shown for _ in s.rows],
                "class": [label for s, _ in shown for label in s.labels],
                "prompt": [int(s.is_prompt) for s, _ in shown for _ in s.rows],
                "set": [s.task for s, _ in shown for _ in s.rows],
            }
        )
    return {"method": method, "panels": panels} if panels else None


def _short(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 4) for value in values]


def gap_rows(report: ProductReport) -> list[dict[str, Any]]:
    """Return the modality gaps as rows of a table."""
    return [
        {
            "task": task,
            "modalities": modalities,
            "before": before,
            "after": after,
        }
        for (task, modalities), (before, after) in report.gaps.items()
    ]
