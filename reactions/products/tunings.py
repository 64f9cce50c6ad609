"""What each ``Ft`` of a bundle tuned, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reactions.products.tuned import FT


def tunings(parts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Say what each Ft tuned, on what and with which numbers.

    Args:
        parts: of a bundle's record.

    Yields:
        What the record says of an Ft, and the same in words.
    """
    for about in (part["about"] for part in parts if part["kind"] == FT):
        encoder = f"the encoder of {about['space']}"
        if about["lora"]:
            encoder += f" (LoRA of rank {about['lora']})"
        what = {True: f"{encoder} and the projectors behind it", False: encoder}
        tuned = what.get(about["heads"], "the projectors alone")
        pairs, settings = about["pairs"], about["settings"]
        if pairs is None:
            how = f"pairs with {about['paired']} that were not published"
        else:
            epochs = settings["epochs"]
            how = (
                f"{pairs['rows']:,} pairs with {about['paired']} ({pairs['name']}): "
                f"batch {settings['batch_size']}, {epochs:,} epoch{'' if epochs == 1 else 's'}"
            )
        yield about, f"{tuned} on {how}"
