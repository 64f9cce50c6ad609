"""What a score is of: unseen items, or some that were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def setting_facts(record: Mapping[str, Any]) -> list[str]:
    """Say in a table's line of facts that a score is not zero-shot, and what was trained on."""
    names = dict.fromkeys(entry["corpus"] for entry in record.get("trained_on", ()))
    facts = [f"fine-tuned on {', '.join(names)}"] if names else []
    if count := sum(entry["scored"] for entry in record.get("trained_on", ())):
        facts.append(f"TRAINED ON {count:,} OF THE SCORED ITEMS")
    return facts
