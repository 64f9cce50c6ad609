"""What a score is of: unseen items, or some that were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def setting_facts(record: Mapping[str, Any]) -> list[str]:
    """Say in a table's line of facts that a score is not zero-shot, and what was trained on."""
    trained = record.get("trained_on", ())
    setting = record.get("setting")
    facts: list[str] = []
    if setting == "fine-tuned":
        names = dict.fromkeys(entry["corpus"] for entry in trained)
        facts.append(f"fine-tuned on {', '.join(names)}")
    elif setting in ("trained on labels of these classes", "unknown"):
        facts.append(setting if setting != "unknown" else "zero-shot or fine-tuned: unknown")
    if count := sum(entry["scored"] or 0 for entry in trained):
        facts.append(f"TRAINED ON {count:,} OF THE SCORED ITEMS")
    return facts
