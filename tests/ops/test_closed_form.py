"""Maps in closed form: what is known to be there is found, however the rows come."""

import numpy as np
import pytest
import torch
from fakes import unit_rows

from reactions.core.errors import DataError, UsageError
from reactions.ops import closed_form
from reactions.ops.closed_form import AffineMap, fit_map, moments
from reactions.ops.pairs import PseudoSet
from reactions.ops.procrustes import procrustes
from reactions.ops.recipe import Recipe

SHARED = ("image", "text")


def rotation(d, seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    return q


def around(mean, n, seed, spread=0.3):
    """Unit rows around a mean, in float64."""
    rows = mean + spread * np.random.default_rng(seed).normal(size=(n, len(mean)))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fit(source, target, *, sources=SHARED, targets=SHARED, modalities=None, splits=1, **options):
    """Fit rows of modalities; ``splits`` divides them into as many anchors."""
    sets = [PseudoSet(source, target)]
    if splits > 1:
        parts = np.array_split(np.arange(len(source[0])), splits)
        sets = [PseudoSet([x[rows] for x in source], [y[rows] for y in target]) for rows in parts]
    return fit_map(
        sets,
        sources,
        targets,
        recipe="procrustes",
        name="A + Dr(B)",
        modalities=modalities or sorted(sources),
        **options,
    )


@pytest.mark.parametrize("splits", [1, 3])
def test_a_rotation_with_means_of_each_modality_is_found_exactly(splits):
    d, n = 12, 400
    source = [around(unit_rows(1, d, seed)[0], n, seed) for seed in (1, 2)]
    q = rotation(d)
    target = [x @ q for x in source]
    fitted, statistics, rank = fit(source, target, splits=splits)
    assert rank == d
    assert statistics.n == n
    np.testing.assert_allclose(fitted.matrix.numpy(), q, atol=1e-6)
    for i, modality in enumerate(SHARED):
        np.testing.assert_allclose(fitted.source[i].numpy(), source[i].mean(0), atol=1e-6)
        np.testing.assert_allclose(fitted.target[i].numpy(), target[i].mean(0), atol=1e-6)
        mapped = fitted.apply(modality, torch.from_numpy(source[i]).float())
        np.testing.assert_allclose(mapped.numpy(), target[i], atol=1e-6)


def test_means_of_modalities_do_not_disturb_the_rotation():
    """Cones apart on one side and together on the other: only the means differ."""
    d, n = 10, 4000
    core = 0.05 * np.random.default_rng(0).normal(size=(n, d))
    q = rotation(d, 5)
    cones = [unit_rows(1, d, seed, np.float64)[0] for seed in (1, 2, 3, 4)]
    source = [cones[0] + core, cones[1] + core]
    target = [cones[2] + core @ q, cones[3] + core @ q]
    fitted, _, _ = fit(source, target)
    # Rescaling to unit norm bends rows this near to their mean by a few per cent.
    cosine = (fitted.matrix.double().numpy() * q).sum() / d
    assert cosine > 0.98
    mapped = fitted.apply("image", torch.from_numpy(source[0]).float()).numpy()
    right = target[0] / np.linalg.norm(target[0], axis=1, keepdims=True)
    assert (mapped * right).sum(1).min() > 0.995


@pytest.mark.parametrize(("d_in", "d_out"), [(7, 11), (11, 7)])
def test_unequal_widths_give_a_semi_orthogonal_matrix(d_in, d_out):
    rng = np.random.default_rng(3)
    latent = rng.normal(size=(500, 5))
    source = [latent @ rng.normal(size=(5, d_in)) + 0.1 * rng.normal(size=(500, d_in))] * 2
    target = [latent @ rng.normal(size=(5, d_out)) + 0.1 * rng.normal(size=(500, d_out))] * 2
    fitted, _, rank = fit(source, target)
    matrix = fitted.matrix.double().numpy()
    gram = matrix @ matrix.T if d_in < d_out else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(7), atol=1e-6)
    assert (matrix.shape, rank) == ((d_in, d_out), 7)


def pairs(n=300, d_in=9, d_out=7, seed=0):
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 6))
    return tuple(
        [latent @ rng.normal(size=(6, d)) + rng.normal(size=d) + 0.5 * rng.normal(size=(n, d))] * 2
        for d in (d_in, d_out)
    )


def test_no_other_orthogonal_matrix_is_nearer():
    source, target = pairs(d_in=7, d_out=7)
    fitted, statistics, _ = fit(source, target)
    best = float((fitted.matrix.double() * statistics.cross).sum())
    for seed in range(50):
        other = fitted.matrix.double().numpy() @ rotation(7, seed)
        assert (torch.from_numpy(other) * statistics.cross).sum() < best


def test_turning_a_side_turns_the_map_along():
    source, target = pairs()
    q_in, q_out = rotation(9, 1), rotation(7, 2)
    fitted, _, _ = fit(source, target)
    turned, _, _ = fit([x @ q_in for x in source], [y @ q_out for y in target])
    expected = q_in.T @ fitted.matrix.double().numpy() @ q_out
    np.testing.assert_allclose(turned.matrix.numpy(), expected, atol=1e-5)


def test_order_and_length_of_rows_do_not_matter():
    source, target = pairs()
    fitted, _, _ = fit(source, target)
    order = np.random.default_rng(1).permutation(300)
    longer = np.random.default_rng(2).uniform(0.5, 2, size=(300, 1))
    permuted, _, _ = fit([(x * longer)[order] for x in source], [y[order] for y in target])
    for name, tensor in fitted.state().items():
        np.testing.assert_allclose(tensor, permuted.state()[name], atol=1e-5)


@pytest.mark.parametrize("tile_rows", [1, 7, 299, 300])
def test_streamed_equals_whole(tile_rows):
    source, target = pairs()
    sets = [PseudoSet(source, target), PseudoSet(*pairs(n=41, seed=4))]
    in_memory = moments(sets, [(0, 0), (1, 1)])
    reports = []
    streamed = moments(
        sets, [(0, 0), (1, 1)], tile_rows=tile_rows, progress=lambda *at: reports.append(at)
    )
    for name in ("source", "target", "cross"):
        # Sums of 341 rows in float64, in another order.
        torch.testing.assert_close(
            getattr(in_memory, name), getattr(streamed, name), rtol=1e-12, atol=1e-11
        )
    assert (in_memory.n, streamed.n, reports[-1]) == (341, 341, (341, 341))


class Stored:
    """Rows on disk, which notes how many are read at once."""

    def __init__(self, rows, reads):
        self.rows, self.reads, self.shape = rows, reads, rows.shape

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, part):
        self.reads.append(len(self.rows[part]))
        return self.rows[part]


def test_no_more_than_a_tile_is_read_at_once(monkeypatch):
    monkeypatch.setattr(closed_form, "TILE_ROWS", 32)
    reads = []
    fit(*([Stored(rows, reads) for rows in side] for side in pairs()))
    assert (max(reads), sum(reads)) == (32, 4 * 300)


def test_the_cross_covariance_is_that_of_the_shared_modalities():
    source, target = pairs(n=50)
    other = unit_rows(50, 9, 5, np.float64)
    sets = [PseudoSet([other, source[0]], target[:1])]
    statistics = moments(sets, [(1, 0)])
    x, y = (r / np.linalg.norm(r, axis=1, keepdims=True) for r in (source[0], target[0]))
    expected = (x - x.mean(0)).T @ (y - y.mean(0))
    np.testing.assert_allclose(statistics.cross.numpy(), expected, atol=1e-10)


def test_a_modality_of_one_side_goes_to_the_mean_of_what_it_is_paired_with():
    source, target = pairs(n=80)
    sounds = unit_rows(80, 9, 8, np.float64)
    fitted, statistics, _ = fit(
        [sounds, *source],
        target,
        sources=("audio", *SHARED),
        modalities=("audio", "image", "text", "thermal"),
    )
    np.testing.assert_allclose(
        fitted.target[0].numpy(), statistics.target.mean(dim=0).numpy(), atol=1e-7
    )
    np.testing.assert_allclose(fitted.source[0].numpy(), sounds.mean(0), atol=1e-7)
    assert fitted.known.tolist() == [1, 1, 1, 0]
    with pytest.raises(UsageError, match="has no map for thermal"):
        fitted.apply("thermal", torch.zeros(1, 9))


def test_fewer_pairs_than_dimensions_leave_directions_out():
    source = [unit_rows(4, 9, 0, np.float64)]
    target = [unit_rows(4, 7, 1, np.float64)]
    fitted, _, rank = fit(source, target, sources=("text",), targets=("text",))
    assert rank == 3  # four points less their mean
    values = torch.linalg.svdvals(fitted.matrix.double())
    np.testing.assert_allclose(values.numpy(), [1, 1, 1, 0, 0, 0, 0], atol=1e-6)


def test_a_single_pair_is_refused():
    with pytest.raises(DataError, match="1 pseudo-pairs are too few to fit A"):
        fit([unit_rows(1, 5, 0)] * 2, [unit_rows(1, 4, 1)] * 2)


def test_nothing_to_solve_for_has_no_rank():
    assert procrustes(torch.zeros(3, 2, dtype=torch.float64))[1] == 0


def test_a_map_is_stored_and_loaded():
    fitted, _, _ = fit(*pairs())
    loaded = AffineMap.load("A + Dr(B)", SHARED, fitted.state())
    rows = torch.from_numpy(unit_rows(5, 9, 0))
    torch.testing.assert_close(loaded.apply("text", rows), fitted.apply("text", rows))
    torch.testing.assert_close(fitted.apply("text", rows).norm(dim=1), torch.ones(5))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"trainer": "m:f"},
        {"solver": "m:f", "trainer": "m:f", "layers": lambda *widths: ()},
        {"solver": "m:f", "layers": lambda *widths: ()},
        {"solver": "m:f", "is_mixture": True},
        {"solver": "m:f", "uses": ("temperature",)},
    ],
)
def test_a_recipe_is_either_trained_or_solved_for(options):
    with pytest.raises(TypeError, match="recipe 'mine'"):
        Recipe(name="mine", **options)


def test_no_setting_enters_the_key_of_a_closed_form():
    recipe = Recipe(name="mine", solver="m:f", constants={"ridge": 0.1}, version=2)
    assert recipe.params({"seed": 3, "epochs": 4, "learning_rate": 0.1}) == {
        "recipe": "mine",
        "recipe_version": 2,
        "ridge": 0.1,
    }
