"""How figures of a lab must be read beside the paper's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from reactions.core.settings import PAPER_SETTINGS
from reactions.experiments.paper.spaces import PAPERS_TUNING, SETTINGS
from reactions.experiments.paper.table import PaperTable
from reactions.products.tunings import tunings
from reactions.session import Session


def rehearsal_note(lab: str) -> str:
    """Return what must be said of figures of the mini lab; "" for other labels."""
    if not re.search(r"(?<!\w)mini(?!\w)", lab):
        return ""
    return (
        "lab: mini is a rehearsal: miniature encoders in a procedural world. Its figures "
        "cannot be compared with the paper's."
    )


def mean_note(session: Session) -> str:
    """Say how parallel experts are averaged, where the paper and its code differ."""
    if session.lab.factors.mean == "unit":
        return 'parallel experts: their mean at unit norm, as the published code has it ("unit").'
    return (
        'parallel experts: their mean as equation 10 writes it ("eq10"); the published code, which '
        'the paper\'s figures came from, rescales it to unit norm: mean = "unit" under [factors] '
        "in a lab file."
    )


_HEADS = {True: "true", False: "false"}


def tuning_notes(records: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Say what the Ft of bundles tuned, beside what the paper's did, each once.

    Args:
        records: of the bundles.
    """
    notes = (
        f"Ft({about['modality']}~{about['paired']}) tuned {line} "
        f"(heads={_HEADS.get(about['heads'], about['heads'])}); {PAPERS_TUNING}."
        for record in records
        for about, line in tunings(record.get("parts", ()))
    )
    return tuple(dict.fromkeys(notes))


def notes_of(table: PaperTable, session: Session, lab: str) -> tuple[str, ...]:
    """Say what keeps ours from being the paper's figure, as far as it is known beforehand."""
    notes = list(filter(None, (rehearsal_note(lab),)))
    if table.number in (3, 4, 6, 7):
        notes += [f"{line}." for line in SETTINGS]
    published = PAPER_SETTINGS.to_json()
    changed_settings = [
        f"{name} {'by rows' if value is None else value} ({published[name]})"
        for name, value in session.lab.settings.to_json().items()
        if name != "shard_rows" and value != published[name]
    ]
    if changed_settings:
        notes.append(
            f"settings other than the paper's (in brackets): {', '.join(changed_settings)}."
        )
    if any("&" in row.reaction for row in table.rows):
        notes.append(mean_note(session))
    if any("R@" in column.metric for column in table.columns):
        notes.append(
            "ours is the mean of both directions' R@k; the paper does not say which direction "
            "its figures are. Both directions: --json."
        )
    if "esc50" in table.tasks:
        notes.append(
            "ESC-50: all 2,000 clips. The paper's Table 1 says 400 samples, but its scores are "
            "multiples of 1/2000."
        )
        if not session.lab.world_tasks and {"CLAP_g", "CLAP_m"} & set(
            session.lab.catalogue.names()
        ):
            notes.append(
                "CLAP hears a clip of 5 s twice in its 10 s; laion_clap does so only where "
                "resampling does not round the clip up (at 44.1 kHz it does: once, then silence)."
            )
    if "imagenet" in table.tasks:
        notes.append("ImageNet: the paper does not name its prompt templates; these are ours.")
    return tuple(notes)
