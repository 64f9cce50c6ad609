"""UniBind's released embedding centres: pickles of tensors, made into a file that is only data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.errors import DataError, UsageError
from reactions.data.centre_file import (
    SUFFIX,
    CentreCategory,
    CentreFile,
    open_centre_file,
    write_centre_file,
)
from reactions.weights.pickled_tensors import read_pickled_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

ROWS = 50
"""Rows of each category, which UniBind's code assumes and does not check (utils/utils.py)."""

SPACE = "ImageBind"
"""Whose text encoder UniBind's released centres are of; PointBind's is the same."""

_UNIT_SLACK = 1e-3


@dataclass(frozen=True, slots=True)
class ImportedCentres:
    """Centres that were imported.

    Attributes:
        file: the file that was written.
        notices: what the user should know of the rows; a sentence each.
    """

    file: CentreFile
    notices: tuple[str, ...]


def import_centres(path: Path, out: Path, *, overwrite: bool = False) -> ImportedCentres:
    """Import a released pickle of embedding centres: category to a tensor of its rows.

    Args:
        path: ``{modality}_{suffix}_center_embeddings.pkl``, of ``pickle.dump`` or ``torch.save``.
        out: the file to write, ``.safetensors``.
        overwrite: replace a file that is there.

    Returns:
        The file, and what of its rows a user may not expect: counts other than 50, which
        UniBind's own code would assign to wrong labels, and rows that had to be rescaled.

    Raises:
        UsageError: ``out`` is there, or ends otherwise.
        MissingError: there is no such file, or torch is too old to unpickle safely.
        DataError: it holds anything but tensors of rows, of one width, finite and not zero.

    Source: UniBind's utils/utils.py, lines 277 to 286.
    """
    if out.suffix.lower() != SUFFIX:
        raise UsageError(f"'{out}' does not end in {SUFFIX}", fix=f"--out {out.stem}{SUFFIX}")
    if out.exists() and not overwrite:
        raise UsageError(f"'{out}' is there", fix="--overwrite   or another --out")
    tensors = read_pickled_tensors(path)
    rows = {name: _rows(path, name, tensor) for name, tensor in tensors.items()}
    widths = Counter(category_rows.shape[1] for category_rows in rows.values())
    if len(widths) > 1:
        listed = ", ".join(f"{n} of {width}" for width, n in widths.most_common())
        raise _wrong(path, f"its categories differ in width: {listed} dimensions")
    stacked = np.concatenate(list(rows.values()))
    norms = np.linalg.norm(stacked.astype(np.float64), axis=1)
    categories = [CentreCategory(name, len(category_rows)) for name, category_rows in rows.items()]
    unit = (stacked / norms[:, None]).astype(np.float32)
    write_centre_file(out, unit, categories, space=SPACE, source=f"UniBind, {path.name}")
    return ImportedCentres(open_centre_file(out), tuple(_notices(categories, norms)))


def _rows(path: Path, name: str, tensor: Tensor) -> NDArray[np.float32]:
    """Return a category's rows: (n, d) float32, finite, none of them zero."""
    if tensor.ndim != 2 or 0 in tensor.shape or not tensor.is_floating_point():
        shape = tuple(tensor.shape)
        raise _wrong(path, f"'{name}' is {tensor.dtype} of shape {shape}, not rows of numbers")
    rows: NDArray[np.float32] = tensor.detach().float().numpy()
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(bad):
        raise _wrong(path, f"row {bad[0]} of '{name}' has length {norms[bad[0]]:g}")
    return rows


def _notices(categories: list[CentreCategory], norms: NDArray[np.float64]) -> list[str]:
    notices = []
    if deviating := [category for category in categories if category.n_rows != ROWS]:
        first = ", ".join(f"{category.name} ({category.n_rows})" for category in deviating[:3])
        more = f" and {len(deviating) - 3} more" if len(deviating) > 3 else ""
        notices.append(
            f"{len(deviating)} of {len(categories)} categories have other than {ROWS} rows: {first}"
            f"{more}; UniBind's own code would give the rows after them to wrong categories, here "
            "each keeps its own"
        )
    if float(np.abs(norms - 1).max()) > _UNIT_SLACK:
        notices.append(
            f"rows had lengths from {norms.min():.3g} to {norms.max():.3g} and are rescaled to 1, "
            "as UniBind's code does when it uses them"
        )
    return notices


def _wrong(path: Path, why: str) -> DataError:
    return DataError(
        f"'{path}' is not a pickle of embedding centres",
        why=why,
        fix="get the published file again: a dictionary of category to (50, 1024) rows",
        path=str(path),
    )
