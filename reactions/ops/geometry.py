"""How embeddings of several modalities, or classes, lie to one another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from reactions.core.errors import DimensionMismatch


def mean_distance(groups: Sequence[Tensor]) -> float:
    """Return the modality gap: the Euclidean distance of two groups' means, averaged over pairs.

    Args:
        groups: (n_g, d) unit-norm rows each; at least two groups, none empty.

    Raises:
        DimensionMismatch: fewer than two groups, or an empty one.

    Source: Liang et al., Mind the gap (2022), section 2.1, for two modalities.
    """
    if len(groups) < 2 or not all(len(group) for group in groups):
        raise DimensionMismatch("a gap is measured between two or more groups with rows")
    means = [group.double().mean(dim=0) for group in groups]
    distances = [float((x - y).norm()) for x, y in itertools.combinations(means, 2)]
    return sum(distances) / len(distances)


def silhouette(rows: Tensor, labels: Tensor) -> Tensor:
    """Return each row's silhouette: how much nearer its own label's rows are than the next one's.

    Args:
        rows: (n, d) float.
        labels: (n,) int64; at least two labels.

    Returns:
        (n,) float64 in [-1, 1]; 0 for the only row of a label.

    Raises:
        DimensionMismatch: lengths differ, or there is one label only.

    Source: Rousseeuw, Silhouettes (1987), with Euclidean distances.
    """
    names, label_numbers = torch.unique(labels, return_inverse=True)
    if len(rows) != len(labels) or len(names) < 2:
        raise DimensionMismatch(f"{len(names)} labels of {len(labels)} for {len(rows)} rows")
    exact = rows.double()
    # The matrix product's shortcut for distances would lose half of the digits.
    distances = torch.cdist(exact, exact, compute_mode="donot_use_mm_for_euclid_dist")
    members = torch.nn.functional.one_hot(label_numbers, len(names)).double()  # (n, labels)
    sizes = members.sum(dim=0)
    sums = distances @ members  # (n, labels)
    # A row's distance to itself is 0: it is in the sum and not in the count.
    within = sums.gather(1, label_numbers[:, None])[:, 0] / (sizes[label_numbers] - 1).clamp_min(1)
    nearest_other = (sums / sizes).scatter(1, label_numbers[:, None], torch.inf).amin(dim=1)
    larger = torch.maximum(within, nearest_other)
    width = torch.where(larger > 0, (nearest_other - within) / larger.clamp_min(1e-300), 0.0)
    return torch.where(sizes[label_numbers] > 1, width, torch.zeros_like(width))


def neighbours(rows: Tensor, k: int) -> Tensor:
    """Return each row's nearest other rows by cosine, the nearest first.

    Args:
        rows: (n, d) unit-norm rows, n > k.
        k: how many; at least 1.

    Returns:
        (n, k) int64; of equally near rows the first comes first.

    Raises:
        DimensionMismatch: there are not as many other rows.
    """
    if not 1 <= k < len(rows):
        raise DimensionMismatch(f"{k} neighbours among {len(rows)} rows")
    cosines = rows.double() @ rows.double().T
    cosines.fill_diagonal_(-torch.inf)
    return cosines.argsort(dim=1, descending=True, stable=True)[:, :k]


def shared(labels: Tensor, nearest: Tensor) -> Tensor:
    """Return the share of each row's neighbours that have its label.

    Args:
        labels: (n,) int64.
        nearest: (n, k) int64, from ``neighbours``.

    Returns:
        (n,) float64 in [0, 1].
    """
    return (labels[nearest] == labels[:, None]).double().mean(dim=1)
