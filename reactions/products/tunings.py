"""What each ``Ft`` and ``Lcl`` of a bundle trained, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reactions.products.aligned import LCL
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


def learnings(parts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Say what each Lcl trained, on what and with which numbers.

    Args:
        parts: of a bundle's record.

    Yields:
        A modality, and in words what its layer was trained on.
    """
    for about in (part["about"] for part in parts if part["kind"] == LCL):
        knowledge, settings = about["knowledge"], about["settings"]
        for modality, layer in about["layers"].items():
            if knowledge is None:
                yield modality, "a linear layer, on items that were not published"
                continue
            epochs = settings["epochs"]
            yield (
                modality,
                f"a linear layer, on {layer['rows']:,} items of {layer['corpus']} and their "
                f"{about['targets']} in {knowledge['name']} ({layer['texts']:,} texts): "
                f"temperature {settings['temperature']:g}, batch {settings['batch_size']}, "
                f"{epochs:,} epoch{'' if epochs == 1 else 's'}"
                + (", norms as published" if about["norms"] == "published" else ""),
            )


def learning_name(about: Mapping[str, Any]) -> str:
    """Return what a record's Lcl is called: ``Lcl(kb)``."""
    return f"Lcl({about['knowledge']['name'] if about['knowledge'] else 'not published'})"
