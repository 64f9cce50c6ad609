"""What a reaction's user should know of the spaces in it before it runs."""

from __future__ import annotations

from collections.abc import Iterator

from reactions.core.types import SpaceSpec
from reactions.encoders.spread import MAX_COSINE, is_collapsed, remembered


def notes(spec: SpaceSpec) -> Iterator[str]:
    """Yield a line on each thing that is odd about a space: collapsed towers, files not read.

    Folders of embeddings are looked at; of encoders it is known if they were examined by
    ``molspace spaces doctor``.

    Raises:
        DataError: a folder cannot be read.
    """
    if spec.adapter != "precomputed":
        for modality in spec.modalities:
            cosine = remembered(spec, modality)
            if cosine is not None and cosine > MAX_COSINE:
                yield _collapsed(spec.name, modality, cosine, "molspace spaces doctor found")
        return
    from reactions.encoders.precomputed.folder import unread_files
    from reactions.encoders.precomputed.statistics import sample_cosine

    for modality in spec.modalities:
        cosine, n = sample_cosine(spec, modality)
        if is_collapsed(cosine, n, spec.dim):
            yield _collapsed(spec.name, modality, cosine, f"of {n} rows")
    if note := unread_files(spec):
        yield note


def _collapsed(name: str, modality: str, cosine: float, source: str) -> str:
    return (
        f"the {modality} tower of '{name}' has collapsed: nearly all its embeddings are alike "
        f"({source} a root mean squared cosine of {cosine:.4f})"
    )
