"""How well each tower of the mini lab knows the world: recognition, and retrieval of pictures.

    python benchmarks/senses.py [--json FILE] [--quick] [--seed 26]

One set of scenes, 20 of each kind, in every modality. Recognition is zero-shot, with the prompt "a
photo of a KIND."; an item's own picture is one of as many as there are scenes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from timing import Table, parser, progress, publish

from reactions.core.types import Encoder, Item
from reactions.encoders import registry
from reactions.labs.lab_file import load_lab
from reactions.labs.mini.corpora import WorldCorpus
from reactions.labs.mini.views import POOR
from reactions.labs.mini.world import CLASSES, N_CLASSES, SceneStream

SPACES = ("ImageBind", "PointBind", "EventBind", "InternVL", "PointExpert")
COLUMNS = (
    "space",
    "modality",
    "sensor",
    "recognised, %",
    "to its picture, R@1",
    "from its picture, R@1",
    "to a picture of its kind, R@1",
)
ORDER = ("image", "audio", "video", "thermal", "depth", "event", "point")


def measure(seed: int, n: int) -> Table:
    """Measure every tower once: spaces that share one are not measured again."""
    catalogue = load_lab("mini").catalogue
    stream = SceneStream("senses", seed, balanced=True)
    kinds = stream.scenes(0, n).kind
    towers: set[str] = set()
    rows: list[tuple[str | float | None, ...]] = []
    for name in SPACES:
        spec = catalogue.by_name(name)
        encoder = registry.load(spec)
        prompts = _prompts(encoder)
        pictures = encoder.embed("image", WorldCorpus("image", "image", stream, n).items(0, n))
        for modality in sorted(set(spec.modalities) - {"text"}, key=ORDER.index):
            tower = repr(spec.identity(modality))
            if tower in towers:
                continue
            towers.add(tower)
            for poor in (False, True) if modality in POOR else (False,):
                progress(f"{name} {modality}")
                items = WorldCorpus(modality, modality, stream, n, poor=poor).items(0, n)
                embeddings = encoder.embed(modality, items)
                shares = list(_shares(embeddings, prompts, pictures, kinds))
                if modality == "image":  # each is its own picture
                    shares[1:] = [None] * 3
                rows.append((name, modality, "poor" if poor else "", *shares))
    notes = [
        f"lab: mini, seed {seed}, {n} scenes of {N_CLASSES} kinds.",
        "PointExpert withholds its texts: its points are recognised by none.",
    ]
    return Table("Towers of the mini lab", COLUMNS, rows, notes)


def _prompts(encoder: Encoder) -> np.ndarray | None:
    if "text" not in encoder.spec.modalities:
        return None
    texts = [f"a photo of a {name.replace('_', ' ')}." for name in CLASSES]
    return encoder.embed("text", [Item(text, "text", text) for text in texts])


def _shares(
    embeddings: np.ndarray, prompts: np.ndarray | None, pictures: np.ndarray, kinds: np.ndarray
) -> Iterator[float | None]:
    recognised = None if prompts is None else (embeddings @ prompts.T).argmax(axis=1) == kinds
    similarity = embeddings @ pictures.T
    nearest, diagonal = similarity.argmax(axis=1), np.arange(len(kinds))
    back = similarity.argmax(axis=0) == diagonal
    for hits in (recognised, nearest == diagonal, back, kinds[nearest] == kinds):
        yield None if hits is None else round(100 * float(hits.mean()), 1)


def main() -> None:
    options = parser(__doc__, device=False)
    options.add_argument("--seed", type=int, default=26, help="of the scenes (default 26)")
    arguments = options.parse_args()
    if arguments.seed < 0:
        sys.exit("--seed must not be negative")
    publish(
        [measure(arguments.seed, 200 if arguments.quick else 1000)],
        arguments,
        extra={"lab": "mini"},
    )


if __name__ == "__main__":
    main()
