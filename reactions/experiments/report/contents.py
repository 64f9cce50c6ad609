"""What the templates of a report show: plain values, made of what was gathered."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from reactions.experiments.report.costs import by_kind
from reactions.experiments.report.drawing import BOX_HEIGHT, BOX_WIDTH, draw_reaction
from reactions.experiments.report.figures import gap_rows, loss_groups, map_figure
from reactions.experiments.report.maps import ITEMS_A_CLASS, PAIRS, Method
from reactions.experiments.report.product_report import ProductReport
from reactions.products.quality_tables import tables
from reactions.products.remarks import remarks
from reactions.products.tree import effective_means, mixtures
from reactions.products.tunings import learnings, tunings
from reactions.steps.peaks import SAMPLE

MARKS = (
    "M0 -5L5 4H-5z",
    "M-4 -4H4V4H-4z",
    "M-4 -4L4 4M4 -4L-4 4",
    "M0 5L5 -4H-5z",
    "M0 -5V5M-5 0H5",
)
"""Signs of training-free rows, around (0, 0)."""


def contents(report: ProductReport, method: Method) -> dict[str, Any]:
    """Return what the templates show, by name."""
    record, space = report.bundle.record, report.target.space
    quality = record.get("quality")
    return {
        "report": report,
        "record": record,
        "version": metadata.version("molspace"),
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "is_mini": re.search(r"(?<!\w)mini(?!\w)", report.lab) is not None,
        "drawing": draw_reaction(space, record),
        "box": (BOX_WIDTH, BOX_HEIGHT),
        "means": effective_means(space),
        "losses": loss_groups(record, space),
        "recipes": sorted(
            {fusion.experts[i].recipe for fusion, i in mixtures(space)} & {"cmcr", "exmcr"}
        ),
        "tunings": [
            (f"Ft({about['modality']}~{about['paired']})", line)
            for about, line in tunings(record.get("parts", ()))
        ],
        "learnings": list(learnings(record.get("parts", ()))),
        "quality": quality,
        "quality_tables": [] if quality is None else list(tables(quality)),
        "remarks": [] if quality is None else list(remarks(quality)),
        "map": map_figure(report, method),
        "map_sets": list(dict.fromkeys(sample.task for sample in report.samples)),
        "map_classes": sorted({label for sample in report.samples for label in sample.labels}),
        "items_a_class": ITEMS_A_CLASS,
        **_scores(report),
        **_hops(report),
        **_gaps(report),
        **_costs(report),
    }


def page_data(report: ProductReport, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page's script draws."""
    return {
        "lab": report.lab,
        "losses": shown["losses"],
        "map": shown["map"],
        "surfaces": [surface.to_json() for surface in report.surfaces],
        "main": {score.task.name: score.task.main_score for score in report.scores},
    }


def _scores(report: ProductReport) -> dict[str, Any]:
    names = list(dict.fromkeys(name for score in report.scores for name in score.baselines))
    compared = [(score.main.mean, score.baselines) for score in report.scores]
    return {
        "baseline_names": names,
        "mark_paths": MARKS,
        "n_compared": sum(len(baselines) for _, baselines in compared),
        "n_above": sum(
            row.value > main for main, baselines in compared for row in baselines.values()
        ),
    }


def _hops(report: ProductReport) -> dict[str, Any]:
    end = max([10.0, *(float(hop.keys) for hop in report.hops)])

    def place(items: float) -> float:
        """Return where a number of items stands on a logarithmic scale of 200."""
        return round(200 * math.log(max(items, 1.0)) / math.log(end), 2)

    return {"hop_ends": end, "place": place, "hop_sample": SAMPLE}


def _gaps(report: ProductReport) -> dict[str, Any]:
    distances = [
        side.distance for pair in report.gaps.values() for side in pair if side is not None
    ]
    # Up to the next fifth, so that the axis has round numbers.
    end = math.ceil(5 * max(distances, default=1.0)) / 5 or 0.2
    return {"gaps": gap_rows(report), "gap_end": end, "gap_pairs": PAIRS}


def _costs(report: ProductReport) -> dict[str, Any]:
    times = [cost.seconds for cost in report.costs if cost.seconds is not None]
    return {"kinds": by_kind(report.costs), "n_timed": len(times), "total_s": sum(times)}
