"""Meshes in OFF, as ModelNet has them: points of their surface, spread by area."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.counter_hash import uniform
from reactions.modalities.points.values import MAX_POINTS

SURFACE_POINTS = 10_000
"""Drawn from a mesh, as many as encoders of points take at most."""

MAX_FACES = 1 << 21
MAX_CORNERS = 256
"""Of one face."""

_SEED = 0
"""Of the numbers that place the points: a mesh has the same ones on every machine."""


def surface_of_off(words: Iterator[str]) -> NDArray[np.float64]:
    """Read an OFF file, and draw points of its surface; without faces, return its vertices.

    Args:
        words: of the file; some of ModelNet's write the counts right behind ``OFF``.

    Returns:
        (n, 3) coordinates.

    Raises:
        ValueError: it is damaged or cut short, or beyond the limits.
    """
    magic = next(words, "")
    prefix, _, glued = magic.partition("OFF")
    if prefix:
        raise ValueError(f"it is an OFF with more than coordinates ({magic}); save it plain")
    counts = [*([glued] if glued else []), *islice(words, 2 if glued else 3)]
    if len(counts) != 3 or not all(word.isdigit() and len(word) < 12 for word in counts):
        raise ValueError("it does not say how many vertices and faces it has")
    n_vertices, n_faces, _ = map(int, counts)
    if not 1 <= n_vertices <= MAX_POINTS:
        raise ValueError(f"it has {n_vertices} vertices, and needs 1 to {MAX_POINTS}")
    if n_faces > MAX_FACES:
        raise ValueError(f"it has {n_faces} faces, more than {MAX_FACES}")
    numbers = np.fromiter(map(float, islice(words, 3 * n_vertices)), np.float64)
    if len(numbers) != 3 * n_vertices:
        raise ValueError("it is cut short: vertices are missing")
    vertices = numbers.reshape(-1, 3)
    if not n_faces:
        return vertices
    if not np.isfinite(vertices).all():
        raise ValueError("not every value is finite")
    return surface(vertices, _triangles(words, n_faces, n_vertices))


def _triangles(words: Iterator[str], n_faces: int, n_vertices: int) -> NDArray[np.int64]:
    """Return (n, 3) rows of vertices; faces of more corners are cut into fans."""
    triangles: list[tuple[int, int, int]] = []
    for _ in range(n_faces):
        n_corners = int(next(words, "0"))
        if not 1 <= n_corners <= MAX_CORNERS:
            raise ValueError("it is cut short, or a face has no corners or too many")
        corners = [int(word) for word in islice(words, n_corners)]
        if len(corners) != n_corners or min(corners) < 0 or max(corners) >= n_vertices:
            raise ValueError("it is cut short, or a face names a vertex that is not there")
        first, *further = corners
        triangles += [(first, a, b) for a, b in pairwise(further)]
        if len(triangles) > MAX_FACES:
            raise ValueError(f"it has more than {MAX_FACES} triangles")
    return np.array(triangles, np.int64).reshape(-1, 3)


def surface(
    vertices: NDArray[np.float64], triangles: NDArray[np.int64], n: int = SURFACE_POINTS
) -> NDArray[np.float64]:
    """Draw points of a mesh's surface, each triangle in proportion to its area.

    Args:
        vertices: (v, 3), finite.
        triangles: (t, 3) rows of ``vertices``.
        n: how many points.

    Returns:
        (n, 3), the same for the same mesh.

    Raises:
        ValueError: the mesh has no area.
    """
    corners = vertices[triangles]
    with np.errstate(over="ignore", invalid="ignore"):
        edges = corners[:, 1:] - corners[:, :1]
        areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2
        total = areas.sum()
    if not (np.isfinite(total) and total > 0):
        raise ValueError("its faces have no area")
    # One point in each n-th part of the area: no large gaps by chance.
    places = (np.arange(n) + uniform(_SEED, n)) / n * total
    faces = np.minimum(np.searchsorted(np.cumsum(areas), places, "right"), len(areas) - 1)
    a, b = uniform(_SEED + 1, n)[:, None], uniform(_SEED + 2, n)[:, None]
    # Folded back into the triangle, each place of it is as likely.
    a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
    origin, first, second = corners[faces].transpose(1, 0, 2)
    drawn: NDArray[Any] = origin + a * (first - origin) + b * (second - origin)
    return drawn
