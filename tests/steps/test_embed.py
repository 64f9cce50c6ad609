import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import CG, CM, IB, VL, Context, Encoder, cr, dr, ready, unit_rows
from toy_steps import make_step

from reactions.core.errors import DataError, DimensionMismatch
from reactions.core.step import Artifact
from reactions.data.corpora import IdCorpus, TextCorpus
from reactions.encoding.batch_size import MOST_ITEMS as BATCH_ITEMS
from reactions.encoding.prefetch import THREAD_NAME
from reactions.ops.projector import Projector
from reactions.products.fuse import fuse
from reactions.products.parts import ProjectorMixture
from reactions.steps.embed import EmbedLeaf, EmbedProduct

N = 30
TEXTS = TextCorpus("captions", [f"text {i}" for i in range(N)])


def leaf(corpus=TEXTS, spec=IB.spec, dtype="float32", shard_rows=8):
    return EmbedLeaf(space=spec, corpus=corpus, dtype=dtype, shard_rows=shard_rows)


def test_rows_are_what_the_encoder_says_in_order():
    step = leaf()
    expected = Encoder(IB.spec).embed("text", TEXTS.items(0, N))
    rows = step.run(Context(), {}, 0, N).arrays["embeddings"]
    np.testing.assert_array_equal(rows, expected)
    parts = [step.run(Context(), {}, a, b).arrays["embeddings"] for a, b in ((0, 7), (7, N))]
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    assert (step.n_rows, step.shard_rows) == (N, 8)


def test_encoders_get_batches_and_progress_is_reported():
    n = 2 * BATCH_ITEMS + 3
    corpus = IdCorpus("many", "text", [str(i) for i in range(n)])
    context = Context()
    rows = leaf(corpus).run(context, {}, 0, n).arrays["embeddings"]
    assert context.encoders[IB.spec].sizes == [BATCH_ITEMS, BATCH_ITEMS, 3]
    assert [n_done for n_done, _, _ in context.reports] == [BATCH_ITEMS, 2 * BATCH_ITEMS, n]
    assert {(total, unit) for _, total, unit in context.reports} == {(n, "items")}
    last = Encoder(IB.spec).embed("text", corpus.items(n - 1, n))
    np.testing.assert_array_equal(rows[-1:], last)
    # A shard in the middle counts its own rows.
    context = Context()
    leaf(corpus).run(context, {}, 10, 14)
    assert context.reports == [(4, 4, "items")]


def test_rows_of_encoders_that_sort_by_length_are_put_back():
    class Sorting(Encoder):
        """A staged one: its embedding of a text says how long it is."""

        def preprocess(self, modality, item):
            return np.arange(len(item.value))

        def forward(self, modality, inputs):
            self.sizes.append(len(inputs))
            rows = np.zeros((len(inputs), self.spec.dim), np.float32)
            angles = np.array([tokens.size for tokens in inputs], np.float32) / 200
            rows[:, 0], rows[:, 1] = np.cos(angles), np.sin(angles)
            return rows

    lengths = np.random.default_rng(0).permutation(600) % 100 + 1
    corpus = TextCorpus("captions", ["x" * n for n in lengths])
    context = Context(Sorting)
    rows = leaf(corpus).run(context, {}, 50, 600).arrays["embeddings"]
    np.testing.assert_allclose(rows[:, 1], np.sin(lengths[50:] / 200), atol=1e-6)
    assert context.encoders[IB.spec].sizes == [BATCH_ITEMS, BATCH_ITEMS, 38]
    assert [n_done for n_done, _, _ in context.reports] == [BATCH_ITEMS, 2 * BATCH_ITEMS, 550]


def test_threads_stop_when_a_run_does(monkeypatch):
    class Stop(BaseException):
        pass

    class Stopping(Context):
        def progress(self, done, total, unit):
            raise Stop

    corpus = IdCorpus("many", "text", [str(i) for i in range(3000)])
    with pytest.raises(Stop) as caught:  # whose traceback keeps what the step held
        leaf(corpus).run(Stopping(), {}, 0, 3000)
    assert not [t for t in threading.enumerate() if t.name.startswith(THREAD_NAME)]
    del caught


def test_the_number_of_workers_is_no_part_of_the_key(monkeypatch):
    keys = set()
    for n in ("0", "3"):
        monkeypatch.setenv("MOLSPACE_WORKERS", n)
        keys.add(leaf().key)
    assert len(keys) == 1


def test_half_precision_is_stored():
    rows = leaf(dtype="float16").run(Context(), {}, 0, N).arrays["embeddings"]
    exact = Encoder(IB.spec).embed("text", TEXTS.items(0, N))
    assert rows.dtype == np.float16
    np.testing.assert_allclose(rows, exact, atol=1e-3)
    assert leaf(dtype="float16").cost.size_bytes == N * 8 * 2


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda x: x[:1], DimensionMismatch, r"shape \(1, 8\) for 30 items"),  # would broadcast
        (lambda x: x[:, :7], DimensionMismatch, r"shape \(30, 7\)"),
        (lambda x: x[0], DimensionMismatch, "shape"),
        (lambda x: np.where(np.arange(N)[:, None] == 3, 0, x), DataError, "for text '3'"),
        (lambda x: np.where(np.arange(N)[:, None] == 4, np.nan, x), DataError, "for text '4'"),
        (lambda x: np.where(np.arange(N)[:, None] == 5, np.inf, x), DataError, "for text '5'"),
        (lambda x: 20 * x, DataError, "its norm is 20"),
    ],
)
def test_what_an_encoder_gives_is_checked(change, error, words):
    class Broken(Encoder):
        def embed(self, modality, items):
            return change(super().embed(modality, items))

    with pytest.raises(error, match=words):
        leaf().run(Context(Broken), {}, 0, N)


def test_encoders_may_answer_in_half_precision():
    class Half(Encoder):
        def embed(self, modality, items):
            return super().embed(modality, items).astype(np.float16)

    assert leaf().run(Context(Half), {}, 0, N).arrays["embeddings"].dtype == np.float32


def test_keys_follow_weights_preprocessing_corpus_and_precision_only():
    key = leaf().key
    spec = IB.spec
    same = [
        leaf(spec=replace(spec, name="other", source="/moved", licence="MIT", revision="2")),
        leaf(spec=replace(spec, hub=None, lab="mini", flops_per_item=())),
        leaf(spec=replace(spec, modalities=("text",), preprocessing=(("text", "text-1"),))),
        leaf(spec=replace(spec, preprocessing=(("audio", "audio-2"), ("text", "text-1")))),
        leaf(shard_rows=1),
        leaf(TextCorpus("renamed", [f"text {i}" for i in range(N)])),
    ]
    assert {step.key for step in same} == {key}
    other = [
        leaf(spec=replace(spec, weights_digest="0" * 64)),
        leaf(spec=replace(spec, adapter="another")),
        leaf(spec=replace(spec, dim=9)),
        leaf(spec=replace(spec, preprocessing=(("text", "text-2"),))),
        leaf(dtype="float16"),
        leaf(TextCorpus("captions", [f"text {i}" for i in range(N - 1)])),
        leaf(IdCorpus("captions", "text", [str(i) for i in range(N)])),
        leaf(IdCorpus("captions", "image", [str(i) for i in range(N)])),
    ]
    assert len({key, *(step.key for step in other)}) == len(other) + 1


def test_leaf_costs():
    cost = leaf().cost
    assert (cost.flops, cost.size_bytes) == (10.0 * N, N * 8 * 4)


# --- products ---


def head(name, d_in, d_out, seed):
    """A train step and its artifact, with running statistics of its own."""
    projector = Projector(d_in, d_out, 6, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for layer in (projector.layers[1], projector.layers[4]):
        layer.running_mean.uniform_(-0.2, 0.2, generator=generator)
        layer.running_var.uniform_(0.5, 2, generator=generator)
    step = make_step("train", name, {"seed": seed}, (), lambda *_: None)
    arrays = {key: value.numpy() for key, value in projector.state().items()}
    return step, Artifact(arrays), projector.eval()


def product(fusion, widths, dtype="float32", shard_rows=8, modality="text", seed=0):
    """A product's embed step with its inputs, and what ``fuse`` makes of the same rows."""
    leaves = {"base": fusion.base}
    leaves |= {f"expert.{i}": e.space for i, e in enumerate(fusion.experts)}
    leaves = {name: space for name, space in leaves.items() if modality in space.modalities}
    rows = {
        name: unit_rows(N, space.dim, i + seed) for i, (name, space) in enumerate(leaves.items())
    }
    sides = {name: ready(name, rows[name]) for name in rows}
    inputs = {name: Artifact({"embeddings": rows[name]}) for name in rows}
    heads, loaded = {}, {}
    for name, (d_in, d_out) in widths.items():
        trained_heads = {
            subset: head(subset, d_in, d_out, seed + i) for i, subset in enumerate(("T", "TVA"))
        }
        heads[name] = {subset: step for subset, (step, _, _) in trained_heads.items()}
        inputs |= {
            f"head.{name}.{subset}": artifact for subset, (_, artifact, _) in trained_heads.items()
        }
        index = 0 if name == "base" else int(name.rpartition(".")[2])
        loaded[fusion, index] = ProjectorMixture(
            projector for _, _, projector in trained_heads.values()
        )
    step = EmbedProduct(
        fusion=fusion,
        modality=modality,
        sides=sides,
        heads=heads,
        n_rows=N,
        dtype=dtype,
        shard_rows=shard_rows,
    )
    tensors = {leaves[name]: torch.from_numpy(rows[name]) for name in rows}
    return step, inputs, fuse(fusion, modality, tensors, loaded).numpy()


DR = (dr(IB, VL), {"base": (8, 6)})
CR = (cr(IB, CM, CG, weights=[0.7, 0.3]), {"expert.0": (4, 8), "expert.1": (5, 8)})


@pytest.mark.parametrize(("fusion", "widths"), [DR, CR], ids=["dr", "cr"])
def test_a_product_is_embedded_as_inference_would(fusion, widths):
    step, inputs, expected = product(fusion, widths)
    assert set(inputs) == {name for name, _ in step.inputs}
    rows = step.run(Context(), inputs, 0, N).arrays["embeddings"]
    assert rows.shape == (N, fusion.dim)
    np.testing.assert_allclose(rows, expected, atol=1e-6)  # the same sums in fp32
    parts = [step.run(Context(), inputs, a, b).arrays["embeddings"] for a, b in ((0, 9), (9, N))]
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-6)


def test_a_modality_only_the_base_has_is_projected_by_displacement_alone():
    step, inputs, expected = product(*DR, modality="audio")
    assert step.preimage["params"]["shares"] == {"base": 1.0}
    rows = step.run(Context(), inputs, 0, N).arrays["embeddings"]
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_heads_of_a_side_without_a_share_are_left_out():
    fusion, widths = CR
    full, _, _ = product(fusion, widths)
    sides = {name: step for name, step in full.inputs if name == "base"}
    heads = {"expert.0": {"T": head("T", 4, 8, 0)[0]}}
    step = replace(full, modality="image", sides=sides, heads=heads)
    assert [name for name, _ in step.inputs] == ["base"]
    assert step.cost.flops == 0


def test_keys_of_products():
    fusion, widths = CR
    key = product(fusion, widths)[0].key
    assert product(fusion, widths, shard_rows=1)[0].key == key
    twin = cr(IB, CM, CG, weights=[0.7, 0.3], factors={"audio": 0.9, "text": 0.1})
    assert product(twin, widths)[0].key == key  # another factor, but not for text
    changed = [
        product(cr(IB, CM, CG), widths)[0],
        product(cr(IB, CM, CG, weights=[0.7, 0.3], factors={"audio": 0.5, "text": 0.2}), widths)[0],
        product(fusion, widths, dtype="float16")[0],
        product(fusion, widths, seed=7)[0],
    ]
    assert len({key, *(step.key for step in changed)}) == 5


def test_product_costs_count_the_heads():
    step, _, _ = product(*DR)
    sized = dict(replace_cost(child, 400) for _, child in step.inputs if child.kind == "train")
    fusing = replace(step, sides={"base": step.inputs[0][1]}, heads={"base": sized})
    # Two operations for each of 100 parameters of each of two heads, for every row.
    assert fusing.cost.flops == 2 * 100 * 2 * N


def replace_cost(step, size_bytes):
    from reactions.core.step import Cost

    return step.label, replace(step, cost=Cost(size_bytes=size_bytes))
