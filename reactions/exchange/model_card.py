"""The model card of a bundle: what it is, of what, under which terms, and how to use it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from reactions.exchange.card_data import front_matter, is_rehearsal
from reactions.exchange.licences import is_known, is_non_commercial, most_restrictive
from reactions.exchange.results import MetricScore
from reactions.products.aligned import LCL
from reactions.products.bundles.bundle import Bundle
from reactions.products.tree import effective_factors, effective_means
from reactions.products.tuned import FT
from reactions.products.tunings import learnings


def model_card(
    bundle: Bundle, repo: str, results: Sequence[MetricScore] = (), datasets: Sequence[str] = ()
) -> str:
    """Return a bundle's ``README.md``: YAML front matter, then Markdown.

    Args:
        bundle: what is described.
        repo: ``ORG/NAME``, for the title and the commands.
        results: scores of this very product.
        datasets: of the hub that it was trained on, as ``ORG/NAME``.

    Raises:
        MissingError: ``huggingface_hub`` is not installed.
    """
    parts = [
        front_matter(bundle, repo, results, datasets),
        f"# {repo.rpartition('/')[2]}",
        _warning(bundle),
        f"A space of {_listed(bundle.space.modalities)} in {bundle.space.dim} dimensions, "
        "fused from pre-trained spaces by this reaction:",
        _fenced(bundle.expression),
        f"Made with molspace {_cell(bundle.record.get('molspace', '?'))} in lab: "
        f"{_cell(bundle.lab)}. This repository holds the trained projectors and a record of "
        f"what they belong to; it holds no weights of the spaces{_changed(bundle)}.",
        _origin(bundle),
        _tuned(bundle),
        _aligned(bundle),
        "## Spaces",
        _spaces(bundle),
        "## Licences",
        _licences(bundle),
        "## Combining factors",
        "The share of each expert in a modality. They can be changed at inference, without "
        "training anything.",
        _factors(bundle),
        *_results(results),
        "## Use",
        _usage(bundle, repo),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


# --- parts ---------------------------------------------------------------------------


def _warning(bundle: Bundle) -> str:
    if not is_rehearsal(bundle):
        return ""
    return (
        "> **This is a rehearsal, not a model.** It was made in the mini lab, with miniature "
        "encoders that stand in for the spaces of the same names, on a procedural world. It "
        "embeds nothing real, and its scores say nothing about the published spaces."
    )


def _origin(bundle: Bundle) -> str:
    origin = bundle.record.get("imported")
    if not isinstance(origin, Mapping):
        return ""
    return (
        f"The projectors were not trained by molspace: they were imported from the files that "
        f"{_cell(origin['from'])} published ({len(origin['files'])}, with their SHA-256 in "
        "`bundle.json`)."
    )


def _tunings(bundle: Bundle) -> list[Mapping[str, Any]]:
    return [part["about"] for part in bundle.record.get("parts", ()) if part["kind"] == FT]


def _changed(bundle: Bundle) -> str:
    """Say which weights of spaces are there after all: those that a tuning changed."""
    names = [
        f"{_cell(about['space'])} ({_cell(about['licence'] or 'licence unknown')})"
        for about in _tunings(bundle)
        if about["heads"] != "only"
    ]
    return f" but what tuning changed in the encoder of {' and '.join(names)}" if names else ""


def _tuned(bundle: Bundle) -> str:
    """Say what was tuned, and on what."""
    return " ".join(
        f"Its {_cell(about['modality'])} was tuned on "
        + (
            f"{about['pairs']['rows']:,} pairs with {_cell(about['paired'])} "
            f"({_cell(about['pairs']['name'])})."
            if about["pairs"]
            else f"pairs with {_cell(about['paired'])} that were not published."
        )
        for about in _tunings(bundle)
    )


def _aligned(bundle: Bundle) -> str:
    """Say what was aligned with descriptions, and who wrote them under which licence."""
    parts = [part for part in bundle.record.get("parts", ()) if part["kind"] == LCL]
    lines = [
        f"Its {_cell(modality)} is followed by {_cell(line)}."
        for modality, line in learnings(parts)
    ]
    models = {
        f"{_cell(model['name'])} ({_cell(model['licence'] or 'licence unknown')})": None
        for part in parts
        for model in part["about"]["models"]
    }
    if models:
        lines.append(f"Descriptions were written by {' and '.join(models)}.")
    return " ".join(lines)


def _spaces(bundle: Bundle) -> str:
    rows = [
        (
            spec["name"],
            spec["dim"],
            _listed(spec["modalities"]) or "-",
            spec["revision"] or "-",
            (spec["weights_digest"] or "-")[:12],
            spec["licence"] or "unknown",
        )
        for spec in bundle.record["spaces"]
    ]
    return _table(("space", "dim", "modalities", "revision", "weights", "licence"), rows)


def _licences(bundle: Bundle) -> str:
    specs = bundle.record["spaces"]
    binding = most_restrictive(str(spec["licence"]) for spec in specs)
    lines = ["Using this product means using the spaces above, under the terms of all of them."]
    if binding:
        holders = [spec["name"] for spec in specs if spec["licence"] == binding]
        lines.append(f"The most restrictive is **{_cell(binding)}** ({_listed(holders)}).")
    non_commercial = [spec["name"] for spec in specs if is_non_commercial(str(spec["licence"]))]
    if non_commercial:
        lines.append(
            f"**Not for commercial use:** the licence of {_listed(non_commercial)} forbids it."
        )
    unknown = [spec["name"] for spec in specs if not is_known(str(spec["licence"]))]
    if unknown:
        lines.append(
            f"The terms of {_listed(unknown)} are not known here: ask the publishers of the "
            "weights before you use them."
        )
    return " ".join(lines)


def _factors(bundle: Bundle) -> str:
    rows = [
        (name, ", ".join(f"{modality} {value:g}" for modality, value in values.items()))
        for name, values in effective_factors(bundle.space).items()
    ]
    means = [
        f"The mean of {_cell(stage)} is rescaled to unit norm before it is weighted (mean = "
        f'"{mean}"), as FreeBind\'s published code does.'
        for stage, mean in effective_means(bundle.space).items()
    ]
    return "\n\n".join([_table(("factor", "value"), rows), *means])


def _results(results: Sequence[MetricScore]) -> list[str]:
    if not results:
        return []
    rows = [
        (
            score.task,
            f"{score.metric} (main)" if score.main else score.metric,
            f"{score.value:.2f}",
            score.n,
            score.lab,
        )
        for score in results
    ]
    tasks: dict[str, dict[str, None]] = {}  # conditions to the tasks they hold for, in order
    for score in results:
        tasks.setdefault(score.conditions, {})[score.task] = None
    remarks = [
        f"- {_listed(list(names))}: {_cell(conditions)}"
        for conditions, names in tasks.items()
        if conditions
    ]
    table = _table(("task", "metric", "%", "n", "lab"), rows)
    return ["## Results", table, "\n".join(remarks)]


def _usage(bundle: Bundle, repo: str) -> str:
    lab = str(bundle.record["lab"]["name"])
    lab_option = f" --lab {lab}" if lab in ("mini", "paper") else ""
    return (
        _fenced(
            f"pip install .    # in a clone of molspace\nmolspace pull {repo}\n"
            f"molspace infer{lab_option} < queries.jsonl\nmolspace eval{lab_option} --task esc50",
            "sh",
        )
        + "\n\nThe spaces' own weights have to be on the machine (`molspace spaces fetch NAME`); "
        "molspace checks that they are those the projectors were trained with.\n\n"
        f"Digest of the record this card was written for: `{bundle.digest}`"
    )


# --- Markdown ------------------------------------------------------------------------


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    """Return text that stays in its cell and is not markup, whatever a record says."""
    text = " ".join(str(value).split())
    return re.sub(r"([\\`*\[\]|<>])", r"\\\1", text)


def _fenced(text: str, language: str = "") -> str:
    # As many backticks within the text would close the fence.
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_cell, names))
