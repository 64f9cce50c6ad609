"""train: one projector on one subset of the pseudo sets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import UsageError
from reactions.core.hashing import digest
from reactions.core.make_step import make_step
from reactions.core.memory_budget import SHARE, TABLE_SHARE, budget_bytes
from reactions.core.step import Artifact, Context, Cost, Rows, Step
from reactions.core.types import LETTERS, Anchors, Modality, Op
from reactions.ops.architectures import CONSTANTS, PAPER, Layer, layers, size
from reactions.steps.routing import Side, Slot

if TYPE_CHECKING:
    from torch import Tensor

    from reactions.ops.precision import Precision

MAX_ANCHORS = 4
"""All 2^k - 1 subsets are trained up to this many anchors: at most 15 projectors."""

_LETTER_OF = {modality: letter for letter, modality in LETTERS.items()}


def subset_name(anchors: Anchors) -> str:
    """Return ``"TVA"`` for the papers' modalities, else ``"depth+text"``."""
    if all(anchor in _LETTER_OF for anchor in anchors):
        return "".join(letter for letter, m in LETTERS.items() if m in anchors)
    return "+".join(sorted(anchors))


def subsets(anchors: Sequence[Modality]) -> list[Anchors]:
    """Return every non-empty subset of the anchors, small ones first.

    Raises:
        UsageError: there are too many anchors to train a projector on every subset.

    Source: Molecule-Space, section 4.1 (T, V, A, TV, TA, VA, TVA: seven projectors).
    """
    if len(anchors) > MAX_ANCHORS:
        raise UsageError(
            f"{len(anchors)} anchor modalities make {2 ** len(anchors) - 1} projectors",
            why=f"a mixture trains one on every subset; more than {MAX_ANCHORS} is not meant",
            fix="choose one subset, as in Cr(X, data=(text, audio))",
        )
    letters = list(LETTERS.values())
    ordered = sorted(anchors, key=lambda m: (letters.index(m) if m in letters else 9, m))
    return [
        tuple(sorted(chosen))
        for size in range(1, len(ordered) + 1)
        for chosen in itertools.combinations(ordered, size)
    ]


def train(
    label: str,
    op: Op,
    anchors: Anchors,
    collected: Mapping[Modality, Mapping[Slot, Step]],
    dims: tuple[int, int],
    modalities: tuple[Sequence[Modality], Sequence[Modality]],
    *,
    precision: Precision,
    hidden_dim: int,
    temperature: float,
    learning_rate: float,
    batch_size: int,
    epochs: int,
    seed: int,
    recipe: str = PAPER,
) -> Step:
    """Return the step that trains one projector.

    Its artifact holds the projector's tensors by their state-dict names, and in ``meta``
    the number of pairs and the loss of each epoch (the paper's: nats, the sum over pairs of
    modalities).

    Args:
        label: names the two spaces.
        op: ``"dr"`` projects the base, ``"cr"`` the expert.
        anchors: the subset.
        collected: anchor to the columns of its pseudo set.
        dims: widths of base and expert.
        modalities: modalities of base and of expert that take part.
        precision: of the products.
        hidden_dim: of the projector.
        temperature: of InfoNCE.
        learning_rate: Adam's.
        batch_size: rows a step.
        epochs: passes over the subset.
        seed: of weights and order. Each subset derives its own from it, for Dr and for Cr
            and for each pair of spaces, so that parallel experts of equal widths neither start
            from the same weights nor see rows in the same order.
        recipe: whose projector and loss. Precision, hidden width and temperature are the
            paper's alone: the others bring their own.

    Source: Molecule-Space, eq. 7 and 8, section 4.1.
    """
    name = subset_name(anchors)
    settings: dict[str, Any] = {
        "hidden_dim": hidden_dim,
        "temperature": temperature,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "epochs": epochs,
        "seed": seed,
    }
    params = settings
    if recipe != PAPER:
        precision = "exact"
        unused = ("hidden_dim", "temperature")
        params = {key: value for key, value in settings.items() if key not in unused}
        params |= {"recipe": recipe, **asdict(CONSTANTS[recipe])}
    base_dim, expert_dim = dims
    d_in, d_out = (base_dim, expert_dim) if op == "dr" else (expert_dim, base_dim)
    columns: list[Slot] = [("base", m) for m in modalities[0]]
    columns += [("expert", m) for m in modalities[1]]
    inputs = [
        (f"{anchor}.{side}.{modality}", collected[anchor][side, modality])
        for anchor in anchors
        for side, modality in columns
    ]
    # Where each anchor's rows lie in the table that all subsets share.
    announced = {
        anchor: next(iter(steps.values())).n_rows or 0
        for anchor, steps in sorted(collected.items())
    }
    n = sum(announced[anchor] for anchor in anchors)
    drawn = digest("seed", [seed, op, list(anchors), _encoders(step for _, step in inputs)])
    sources, targets = (len(modalities[0]), len(modalities[1]))
    if op == "cr":
        sources, targets = targets, sources
    head = layers(recipe, d_in, d_out, hidden_dim)
    parameters = size(head)
    batch = min(batch_size, max(n, 1))
    per_row = 6.0 * parameters * sources + 4.0 * batch * sources * targets * d_out
    return make_step(
        "train",
        f"train {label} on {name}",
        {
            "op": op,
            "anchors": list(anchors),
            "modalities": [list(side) for side in modalities],
            "precision": precision,
            **params,
        },
        inputs,
        partial(
            _run,
            op,
            anchors,
            modalities,
            precision,
            {**settings, "seed": int(drawn[:12], 16)},
            recipe,
            announced,
        ),
        cost=Cost(
            flops=per_row * n * epochs,
            size_bytes=4 * parameters,
            memory_bytes=4 * n * (sources * d_in + targets * d_out)
            + 4 * batch * batch * sources * targets
            + 16 * parameters
            + (0 if recipe == PAPER else _kept_by_autograd(head, batch, sources, targets)),
        ),
        shares=digest(
            "table",
            [op, precision]
            + [
                [f"{anchor}.{side}.{m}", collected[anchor][side, m].key]
                for anchor in announced
                for side, m in columns
            ],
        ),
    )


def _kept_by_autograd(head: Sequence[Layer], batch: int, sources: int, targets: int) -> int:
    """Estimate the bytes between forward and backward, beyond one batch of logits.

    Each linear layer's output and what its BatchNorm makes of it, with a gradient for the one
    being worked on; and twice the logits, for two gradients on their way to each.
    """
    rows, widest = batch * sources, max(max(one.n_in, one.n_out) for one in head)
    activations = rows * (sum(2 * one.n_out for one in head) + 2 * widest)
    return 4 * (activations + 2 * batch * batch * sources * targets)


def _encoders(steps: Iterable[Step]) -> list[str]:
    """Return the digests of all encoders upstream of some steps, sorted.

    They say which two spaces a projector joins, and nothing else: not names, corpora, precision
    or stored type. All of them are in the keys of the steps, so equal keys give equal seeds.
    """
    encoders: set[str] = set()
    seen: set[str] = set()
    stack = list(steps)
    while stack:
        step = stack.pop()
        if step.key in seen:
            continue
        seen.add(step.key)
        if step.space is not None:
            encoders.add(digest("encoder", step.preimage["params"]["space"]))
        stack.extend(child for _, child in step.inputs)
    return sorted(encoders)


def _run(
    op: Op,
    anchors: Anchors,
    modalities: tuple[Sequence[Modality], Sequence[Modality]],
    precision: Precision,
    settings: Mapping[str, Any],
    recipe: str,
    announced: Mapping[Modality, int],
    context: Context,
    inputs: Mapping[str, Artifact],
    start: int,
    stop: int,
) -> Artifact:
    from reactions.ops.fit import PseudoSet, PseudoTable, TrainingSettings, fit

    def side(name: Side, anchor: Modality) -> list[Rows]:
        which = modalities[0] if name == "base" else modalities[1]
        return [inputs[f"{anchor}.{name}.{m}"].arrays["embeddings"] for m in which]

    source: Side = "base" if op == "dr" else "expert"
    target: Side = "expert" if op == "dr" else "base"
    projected, frozen = modalities if op == "dr" else modalities[::-1]
    sets = {anchor: PseudoSet(side(source, anchor), side(target, anchor)) for anchor in anchors}
    # The projectors of one mixture read the same pairs: whoever comes first makes the table,
    # and each brings the anchors that are not in it yet.
    table = context.shared(
        lambda: PseudoTable(
            [sets.get(anchor, rows) for anchor, rows in announced.items()],
            device=context.device,
            precision=precision,
            budget_bytes=budget_bytes(
                context.device, TABLE_SHARE if context.device.startswith("cuda") else SHARE
            ),
        )
    )
    places = {anchor: place for place, anchor in enumerate(announced)}
    for anchor, pairs in sets.items():
        table.provide(places[anchor], pairs)
    projector, history = fit(
        table,
        TrainingSettings(**settings),
        chosen=[places[anchor] for anchor in anchors],
        recipe=recipe,
        shared=[(i, frozen.index(m)) for i, m in enumerate(projected) if m in frozen],
        progress=lambda done, total: context.progress(done, total, "steps"),
    )
    arrays = {name: np.asarray(value) for name, value in projector.state().items()}
    products = str(table.dtype).removeprefix("torch.")
    meta = {"pairs": sum(map(len, sets.values())), "loss": history, "products": products}
    return Artifact(arrays, meta)


def tensors(artifact: Artifact) -> dict[str, Tensor]:
    """Return a train step's arrays as CPU tensors of their own."""
    import torch

    return {
        name: torch.from_numpy(np.array(array[slice(None)]))
        for name, array in artifact.arrays.items()
    }
