"""Make the golden bundle of format 1: ``python tests/data/make_bundle_v1.py``, from the repository.

It was run once, when format 1 was new. Never run it again to fix a failing test: bundles that
people have cannot be made anew either.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from fakes import headline

from reactions.products.bundles.bundle import describe, write_bundle
from reactions.products.tree import mixtures

HIDDEN = 3


def tensors(space, subsets):
    """Heads with weights from a formula, so that no random generator decides them."""
    arrays = {}
    for index, (fusion, i) in enumerate(mixtures(space)):
        ends = (fusion.base.dim, fusion.experts[i].space.dim)
        d_in, d_out = ends if fusion.op == "dr" else ends[::-1]
        for number, subset in enumerate(subsets[index]):
            shapes = {"0.weight": (HIDDEN, d_in), "3.weight": (d_out, HIDDEN)}
            for layer, width in (("0", HIDDEN), ("3", d_out)):
                shapes[f"{layer}.bias"] = (width,)
            for layer, width in (("1", HIDDEN), ("4", d_out)):
                for name in ("weight", "bias", "running_mean", "running_var"):
                    shapes[f"{layer}.{name}"] = (width,)
            for k, (name, shape) in enumerate(sorted(shapes.items())):
                wave = np.sin(np.arange(np.prod(shape)) * (k + 1) + index + number)
                if name.endswith(("running_var", "1.weight", "4.weight")):
                    wave = 1 + wave**2
                arrays[f"{index}.{subset}.{name}"] = wave.reshape(shape).astype(np.float32)
    return arrays


def main(directory):
    space = headline()
    subsets = [["T", "TVA"], ["TVA"], ["TVA"]]
    record = describe(
        "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)",
        space,
        lab={"name": "tests", "label": "tests", "seed": 0},
        subsets=subsets,
        settings={"hidden_dim": HIDDEN},
        step_keys={f"{i}.{name}": "0" * 64 for i, names in enumerate(subsets) for name in names},
        version="0.1.0",
    )
    return write_bundle(directory, {**record, "losses": {}}, tensors(space, subsets))


if __name__ == "__main__":
    print(main(Path(__file__).parent / "bundle_v1"))
