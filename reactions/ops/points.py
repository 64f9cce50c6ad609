"""Point clouds as tensors: scale, samples, neighbours and groups, in plain torch.

Batches come first: where a function takes (..., n, 3), each cloud is treated for itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reactions.core.counter_hash import random_rows
from reactions.core.errors import DataError

SMALL_SQUARED_NORM = 1e-3
"""Points no farther from the origin than the root of this are left out by the published kernel."""

_DISTANCES_AT_ONCE = 1 << 25


def unit_sphere(xyz: Tensor) -> Tensor:
    """Shift clouds to centroid 0, and scale their largest norm to 1.

    Args:
        xyz: (..., n, 3) float; not all at one place.

    Returns:
        As ``xyz``.

    Raises:
        DataError: all points of a cloud are at one place.
    """
    centred = xyz - xyz.mean(dim=-2, keepdim=True)
    largest = centred.norm(dim=-1).amax(dim=-1)[..., None, None]
    if not bool((largest > 0).all()):
        raise DataError("a point cloud cannot be scaled", why="all its points are at one place")
    scaled: Tensor = centred / largest
    return scaled


def subsample(points: Tensor, k: int, *, seed: int = 0) -> Tensor:
    """Take points of a cloud at random, in the order of the cloud.

    The rows depend on the seed and on how many points there are, and on nothing else. A cloud of
    fewer points is repeated from its start until there are enough.

    Args:
        points: (n, d), n >= 1.
        k: how many; >= 1.
        seed: another seed is another sample.

    Returns:
        (k, d).
    """
    n = len(points)
    if n < k:
        return points[torch.arange(k, device=points.device) % n]
    rows = torch.from_numpy(random_rows(seed, n, k)).sort().values
    return points[rows.to(points.device)]


def farthest_points(xyz: Tensor, k: int, *, skip_small: bool = False) -> Tensor:
    """Choose points of clouds, each as far as possible from those chosen before; the first is 0.

    Args:
        xyz: (..., n, 3) float.
        k: how many; 1 to n.
        skip_small: never choose points whose squared norm is at most ``SMALL_SQUARED_NORM``
            (unless it is the first one), as the CUDA kernel does that PointBERT, I2P-MAE and Uni3D
            were trained with: it takes such points for padding.

    Returns:
        (..., k) int64 rows; of points that are equally far the first. Where all that is left is
        skipped, row 0.

    Raises:
        DataError: there are fewer than k points.
    """
    *batch, n, _ = xyz.shape
    if not 1 <= k <= n:
        raise DataError(f"cannot choose {k} of {n} points")
    clouds = xyz.reshape(-1, n, 3)
    chosen = torch.zeros(len(clouds), k, dtype=torch.int64, device=xyz.device)
    # Squared distance to the nearest point chosen so far; what is skipped is never the largest.
    nearest = torch.full((len(clouds), n), torch.inf, dtype=xyz.dtype, device=xyz.device)
    if skip_small:
        nearest[(clouds * clouds).sum(-1) <= SMALL_SQUARED_NORM] = -1.0
    cloud_rows = torch.arange(len(clouds), device=xyz.device)
    for i in range(1, k):
        last = clouds[cloud_rows, chosen[:, i - 1]][:, None]
        nearest = torch.minimum(nearest, ((clouds - last) ** 2).sum(-1))
        farthest = nearest.max(dim=-1)
        chosen[:, i] = torch.where(farthest.values >= 0, _first_max(nearest, farthest.values), 0)
    return chosen.reshape(*batch, k)


def _first_max(values: Tensor, largest: Tensor) -> Tensor:
    """Return the first row of each largest value: which one ``max`` gives is not defined."""
    return (values == largest[:, None]).to(torch.uint8).argmax(dim=-1)


def knn(queries: Tensor, points: Tensor, k: int) -> Tensor:
    """Find the nearest points of each query, the nearest first.

    Args:
        queries: (..., m, 3) float.
        points: (..., n, 3) float, of the same batch.
        k: how many; 1 to n.

    Returns:
        (..., m, k) int64 rows of ``points``.

    Raises:
        DataError: there are fewer than k points.
    """
    *batch, m, _ = queries.shape
    n = points.shape[-2]
    if not 1 <= k <= n:
        raise DataError(f"cannot find {k} neighbours among {n} points")
    flat, among = queries.reshape(-1, m, 3), points.reshape(-1, n, 3)
    step = max(1, _DISTANCES_AT_ONCE // (3 * n * len(flat)))
    rows = [
        # Differences, not inner products: those cancel between near points.
        ((part[:, :, None] - among[:, None]) ** 2).sum(-1).topk(k, dim=-1, largest=False).indices
        for part in torch.split(flat, step, dim=1)
    ]
    return torch.cat(rows, dim=1).reshape(*batch, m, k)


def group(points: Tensor, rows: Tensor) -> Tensor:
    """Gather rows of each cloud.

    Args:
        points: (..., n, d).
        rows: (..., m, k) int64, or (..., m), of the same batch.

    Returns:
        (..., m, k, d), or (..., m, d).
    """
    *batch, n, d = points.shape
    flat = rows.reshape(-1, *rows.shape[len(batch) :])
    clouds = points.reshape(-1, n, d)
    cloud_rows = torch.arange(len(clouds), device=points.device)
    cloud_rows = cloud_rows.reshape(-1, *([1] * (flat.ndim - 1)))
    return clouds[cloud_rows, flat].reshape(*rows.shape, d)
