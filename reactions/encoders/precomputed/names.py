"""Names in embeddings and what they mean: ids, and modalities.

Columns of parquet, tensors and metadata of safetensors are recognised by the same names as files
beside a table (``embedding_ids``). What looks like ids and cannot be understood is refused: rows
that are paired by number where names were meant are wrong, and look right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reactions.core.errors import DataError
from reactions.core.types import Modality
from reactions.modalities.registry import aliases

NAMES = (
    *("id", "ids", "key", "keys", "__key__", "item_id", "sample_id", "_id", "uid", "uuid", "guid"),
    *("image_id", "audio_id", "text_id", "video_id", "caption_id", "sentence_id", "doc_id"),
    *("image_path", "audio_path", "video_path", "file_name", "filename", "file_path", "filepath"),
    *("path", "file", "url", "index", "__index_level_0__", "unnamed: 0", "level_0", "idx"),
)
"""Names of columns and tensors that hold ids, the surest first, after MODALITY_id and the like."""

_ID_COLUMN_WORDS = """
asin basename doi file filename filenames files fname guid hash identifier identifiers idx index
indices isbn key keys md5 name names path paths ref rowid sku stem uid uri uris url urls uuid
"""
_LIKELY = frozenset(_ID_COLUMN_WORDS.split())
_NO_ID_WORDS = """
acid aid android avoid bid covid fluid grid grids humid hybrid invalid kid kids lipid liquid mid
paid rapid rigid skid solid squid stupid valid vivid void
"""
_NO_IDS = frozenset(_NO_ID_WORDS.split())
"""Words that end as ``docid`` does, and do not mean ids."""

# imdbId is imdb and Id, HTMLId is HTML and Id; digits belong to the word before: sha256.
_NAME_WORDS = re.compile(r"[A-Z]?[^\W\d_A-Z]+[0-9]*|[A-Z]+(?![^\W\d_A-Z])[0-9]*")


def looks_like_ids(name: str) -> bool:
    """Return whether a column or tensor may hold ids, by name: ``docid``, ``imdbId``, ``sha256``.

    Args:
        name: in any style of writing names.
    """
    words = [word.casefold() for word in _NAME_WORDS.findall(name)]
    last = words[-1] if words else ""
    if last in _LIKELY or re.fullmatch(r"sha\d*", last):
        return True
    return last.endswith(("id", "ids")) and last not in _NO_IDS


_MODALITY = re.compile(r"(.+?)([_-](emb|embs|embeddings?|features|feats))?", re.IGNORECASE)
_GENERIC = """
all arr array data dataset emb embedding embeddings embs feat feats feature features ids items keys
matrix metadata model output outputs part rows shard test train val valid validation vec vecs vector
vectors x
"""
NO_MODALITIES = frozenset(_GENERIC.split())
"""Names that people give to embeddings of whatever they have."""


def modality_of(name: str) -> Modality:
    """Return the modality that the name of a file or folder stands for."""
    match = _MODALITY.fullmatch(name)
    stem = match[1] if match else name
    return aliases().get(stem.casefold(), stem)


def id_name(names: Sequence[str], modality: Modality, where: str) -> str:
    """Return which of some names means ids, or "" if none does.

    Args:
        names: of columns, tensors or keys.
        modality: of the embeddings; ``image_id`` is more than ``text_id`` to an image.
        where: what errors call their place.

    Raises:
        DataError: several could, and none is a usual one.
    """
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.casefold(), name)
    modality_names = (
        [f"{modality}{end}" for end in ("_id", "_ids", "_key", "_keys")] if modality else []
    )
    # Plain 'id' and 'ids', the first two, count before 'image_id' and the like.
    for name in (*NAMES[:2], *modality_names, *NAMES[2:]):
        if name in folded:
            return folded[name]
    likely = [name for name in names if looks_like_ids(name)]
    if len(likely) == 1 and likely[0].casefold().endswith(("_id", "_ids", "_key")):
        return likely[0]
    if likely:
        raise DataError(
            f"cannot tell the ids in {where}",
            why=f"{', '.join(map(repr, likely[:5]))} may hold them, but none is called 'id'",
            fix="rename the one that holds the ids to 'id', or the others to something else",
            names=likely,
        )
    return ""
