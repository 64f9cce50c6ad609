"""Maps of a space before and after a reaction, and how far apart its modalities lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import MissingError
from reactions.core.extras import install_extra
from reactions.core.step import Artifact, Step
from reactions.core.types import Corpus, Leaf, Modality, Space
from reactions.eval.protocol import corpora
from reactions.eval.task import Task, folded
from reactions.eval.task_data import BenchmarkData, ClassificationData, RetrievalData
from reactions.planning.planner import Planner
from reactions.products.bundles.trained import Trained
from reactions.products.tree import needed_leaves, raw_leaves
from reactions.steps.sample import EmbedSample, choose_rows

if TYPE_CHECKING:
    from reactions.products.target import Target

Method: TypeAlias = Literal["pca", "umap", "tsne"]
METHODS: tuple[Method, ...] = get_args(Method)

CLASSES = 8
"""Classes that are drawn: as many as colours and signs that everybody can tell apart."""

ITEMS_A_CLASS = 30
PAIRS = 500
"""Pairs of a set that a modality gap is estimated on."""

Rows: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SpaceView:
    """A space that items are shown in.

    Attributes:
        name: for people.
        space: the product, or a leaf of it as its encoder gives it.
        trained: where its parts are; None for a leaf.
    """

    name: str
    space: Space
    trained: Trained | None = None


def before_and_after(target: Target) -> tuple[SpaceView, SpaceView]:
    """Return the innermost base, as its encoder gives it, and the product."""
    base = target.space
    while not isinstance(base, Leaf):
        base = base.base
    raw = Leaf(replace(base.spec, centre=False))
    return SpaceView(raw.label, raw), SpaceView("the product", target.space, target.trained)


# --- items ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Rows of a corpus that are shown.

    Attributes:
        task: whose corpus.
        name: of the corpus within the task.
        corpus: the items.
        rows: (k,) row numbers.
        labels: the class of each row, or empty where there are none.
        is_prompt: whether rows are prompts of classes.
    """

    task: str
    name: str
    corpus: Corpus
    rows: NDArray[np.int64]
    labels: tuple[str, ...] = ()
    is_prompt: bool = False

    @property
    def modality(self) -> Modality:
        """Of its items."""
        return self.corpus.modality


def map_samples(sets: Sequence[tuple[Task, BenchmarkData]]) -> list[Sample]:
    """Choose items and prompts of classification sets, with their classes.

    Classes that several sets have come first, so that one class is seen in several modalities;
    the rest is chosen by a seed. Of each class at most ``ITEMS_A_CLASS`` items are taken.
    """
    labelled = [(task, data) for task, data in sets if isinstance(data, ClassificationData)]
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for _, data in labelled:
        for name in dict.fromkeys(data.classes):
            names.setdefault(folded(name), name)
            counts[folded(name)] = counts.get(folded(name), 0) + 1
    keys = list(names)
    order = np.random.default_rng(0).permutation(len(keys))
    ranked = sorted(order, key=lambda i: -counts[keys[i]])
    chosen_classes = {keys[i]: names[keys[i]] for i in sorted(ranked[:CLASSES])}
    samples = []
    for task, data in labelled:
        task_corpora = corpora(task, data)
        rows: list[int] = []
        labels: list[str] = []
        prompts: list[int] = []
        prompted: list[str] = []
        for index, name in enumerate(data.classes):
            if folded(name) not in chosen_classes:
                continue
            class_rows = np.flatnonzero(data.labels == index)
            class_rows = class_rows[choose_rows(len(class_rows), ITEMS_A_CLASS)]
            rows += class_rows.tolist()
            labels += [chosen_classes[folded(name)]] * len(class_rows)
            prompts.append(index * len(task.templates))  # the first template of the class
            prompted.append(chosen_classes[folded(name)])
        order = np.argsort(rows, kind="stable")
        samples.append(
            Sample(
                task.name,
                "queries",
                task_corpora["queries"],
                np.array(rows, np.int64)[order],
                tuple(labels[i] for i in order),
            )
        )
        samples.append(
            Sample(
                task.name,
                "prompts",
                task_corpora["prompts"],
                np.array(prompts, np.int64),
                tuple(prompted),
                is_prompt=True,
            )
        )
    return [sample for sample in samples if len(sample.rows)]


def pair_samples(task: Task, data: BenchmarkData) -> tuple[Sample, Sample] | None:
    """Choose pairs of a retrieval set: items, and one right answer of each; None for others."""
    if not isinstance(data, RetrievalData):
        return None
    rows = choose_rows(len(data.left), PAIRS)
    _, first = np.unique(data.owner, return_index=True)  # the first right row of each left one
    partners = first[rows].astype(np.int64)
    return (
        Sample(task.name, "left", data.left, rows),
        Sample(task.name, "right", data.right, partners),
    )


def plan_sample(planner: Planner, view: SpaceView, sample: Sample) -> Step:
    """Plan the embedding of a sample in a space; encoded corpora are those of scoring."""
    space = view.space
    raw = raw_leaves(space)
    return EmbedSample(
        name=f"{sample.task} {sample.name} in {view.name}",
        modality=sample.modality,
        chosen=sample.rows,
        embedded={
            leaf.label: planner.encode(leaf, sample.corpus, raw=leaf in raw)
            for leaf in needed_leaves(space, sample.modality)
        },
        sampled=space,
        trained=view.trained,
    )


def sampled_rows(artifact: Artifact) -> Rows:
    """Return the rows of an ``EmbedSample``."""
    rows: Rows = np.asarray(artifact.arrays["embeddings"][slice(None)], np.float32)
    return rows


# --- the gap -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gap:
    """How far two modalities lie apart in one space, on pairs of one set.

    Attributes:
        distance: between the means of both modalities' unit-norm embeddings, 0 to 2.
        paired: mean cosine of the pairs.
        unpaired: mean cosine of all that do not belong together.
    """

    distance: float
    paired: float
    unpaired: float


def gap(left: Rows, right: Rows) -> Gap:
    """Measure a modality gap.

    Args:
        left: (n, d) unit-norm rows; row i belongs to row i of ``right``.
        right: (n, d) unit-norm rows; n >= 2.

    Source: Liang et al., Mind the Gap (NeurIPS 2022): the distance of the means.
    """
    x, y = left.astype(np.float64), right.astype(np.float64)
    n = len(x)
    paired = float((x * y).sum(axis=1).mean())
    # The mean over all n * n pairs is the product of the means.
    everything = float(x.mean(axis=0) @ y.mean(axis=0))
    unpaired = (everything * n - paired) / (n - 1) if n > 1 else float("nan")
    distance = float(np.linalg.norm(x.mean(axis=0) - y.mean(axis=0)))
    return Gap(distance, paired, unpaired)


# --- the map -------------------------------------------------------------------------


def flatten(rows: Rows, method: Method = "pca") -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Return (n, 2) places of (n, d) rows, and the shares of variance that PCA's axes have.

    PCA is exact; the sign of an axis, which it leaves open, is chosen so that the element of
    its largest magnitude is positive. UMAP and t-SNE are seeded, and have no axes.

    Raises:
        MissingError: the package of the method is not installed.
    """
    if method != "pca":
        return _neighbours(rows, method), ()
    x = rows.astype(np.float64)
    x = x - x.mean(axis=0)
    _, sizes, axes = np.linalg.svd(x, full_matrices=False)
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    axes = (axes * signs[:, None])[:2]
    total = float((sizes**2).sum()) or 1.0
    places = np.zeros((len(x), 2))
    places[:, : len(axes)] = x @ axes.T
    return places, tuple(float(size**2) / total for size in sizes[:2])


def check_method(method: Method) -> None:
    """Check that a map can be drawn, before anything is computed for it.

    Raises:
        MissingError: the package of the method is not installed.
    """
    from importlib.util import find_spec

    package = {"umap": "umap", "tsne": "sklearn"}.get(method)
    if package is not None and find_spec(package) is None:
        raise MissingError(
            f"cannot draw a map by {method}",
            why=f"{package} is not installed",
            fix=f"{install_extra('map')}   or   --map pca",
            package=package,
        )


def _neighbours(rows: Rows, method: Method) -> NDArray[np.float64]:
    check_method(method)
    n = len(rows)
    if method == "umap":
        import umap

        model: Any = umap.UMAP(
            n_components=2,
            n_neighbors=max(2, min(15, n - 1)),
            metric="cosine",
            random_state=0,
            n_jobs=1,  # said explicitly: a seed forbids more, and umap warns of it
        )
    else:
        from sklearn.manifold import TSNE

        perplexity = max(1.0, min(30.0, (n - 1) / 3))
        model = TSNE(
            n_components=2,
            perplexity=perplexity,
            metric="cosine",
            init="random",
            random_state=0,
        )
    places: NDArray[np.float64] = np.asarray(model.fit_transform(rows), np.float64)
    return places
