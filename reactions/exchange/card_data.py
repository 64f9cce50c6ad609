"""The front matter of a model card, which the hub reads: written by the hub's own library."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import Any

from reactions.core.errors import MissingError
from reactions.core.extras import install_extra
from reactions.exchange.licences import hub_id, is_known, is_non_commercial, most_restrictive
from reactions.exchange.results import MetricScore
from reactions.products.bundles.bundle import Bundle

TASK = "feature-extraction"
"""What the hub calls the task of a model that gives embeddings."""

_REHEARSAL = "mini"
_HUB_SOURCE = re.compile(r"(?:hf|internvl):([A-Za-z0-9][\w.-]*/[\w.-]+?)(?:@[\w.-]+)?(?:\?.*)?$")


def hub_library(what: str) -> Any:
    """Return the package ``huggingface_hub``.

    Args:
        what: cannot be done without it, for the error.

    Raises:
        MissingError: it is not installed.
    """
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise MissingError(
            what, why="the package huggingface_hub is not installed", fix=install_extra("hub")
        ) from None


def front_matter(
    bundle: Bundle, repo: str, results: Sequence[MetricScore] = (), datasets: Sequence[str] = ()
) -> str:
    """Return a card's YAML between its two lines of dashes.

    Args:
        bundle: what the card describes.
        repo: ``ORG/NAME``.
        results: scores of this very product. A rehearsal's are left out: on the hub they would
            stand beside those of other models as claims, without the label that they carry.
        datasets: of the hub that it was trained on, as ``ORG/NAME``; a bundle does not know.

    Raises:
        MissingError: ``huggingface_hub`` is not installed.
    """
    hub = hub_library("cannot write a model card")
    licences = [str(spec["licence"]) for spec in bundle.record["spaces"]]
    binding = most_restrictive(licences)
    all_known = all(map(is_known, licences))
    identifier = (
        hub_id(binding) if binding and (all_known or is_non_commercial(binding)) else "other"
    )
    tags = ["molspace", "multimodal", "embeddings", *map(str, bundle.space.modalities)]
    if is_rehearsal(bundle):
        tags.append("rehearsal")
    fields: dict[str, Any] = {
        "library_name": "molspace",
        "license": identifier,
        "pipeline_tag": TASK,
        "tags": tags,
    }
    if identifier == "other":
        fields["license_name"] = (_one_line(binding) if all_known else "") or "unknown"
    if models := base_models(bundle):
        fields |= {"base_model": models, "base_model_relation": "adapter"}
    if datasets:
        fields["datasets"] = list(dict.fromkeys(datasets))
    claims = not is_rehearsal(bundle) and not any(says_mini(score.lab) for score in results)
    if results and claims:
        fields |= {
            "model_name": repo.rpartition("/")[2],
            "eval_results": [_eval_result(hub, score) for score in results],
        }
    return f"---\n{hub.ModelCardData(**fields).to_yaml(line_break=chr(10))}\n---"


def base_models(bundle: Bundle) -> list[str]:
    """Return the hub's models among a bundle's spaces, as ``ORG/NAME``."""
    sources = [_HUB_SOURCE.match(str(spec["source"])) for spec in bundle.record["spaces"]]
    return list(dict.fromkeys(source[1] for source in sources if source))


def is_rehearsal(bundle: Bundle) -> bool:
    """Return whether a bundle was made with the stand-ins of the mini lab."""
    labels = [bundle.lab, *(str(spec["lab"]) for spec in bundle.record["spaces"])]
    return any(map(says_mini, labels))


def says_mini(label: str) -> bool:
    """Return whether a lab's label says that it is the mini lab."""
    return re.search(rf"(?<!\w){_REHEARSAL}(?!\w)", label) is not None


def _eval_result(hub: Any, score: MetricScore) -> Any:
    task = _one_line(score.task)
    return hub.EvalResult(
        task_type=TASK,
        dataset_type=task,
        dataset_name=task,
        metric_type=_one_line(score.metric),
        metric_name=f"{_one_line(score.metric)}, %",
        metric_value=float(f"{score.value:.2f}"),
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
