"""Make the golden cache: results of every kind of step, and the bundle that they end in.

It was run once, by the last version whose steps were made by functions that hashed a dictionary
beside a closure: ``python tests/data/make_cache_v1.py``, from its repository, so the imports are
those of that version. Never run it again to fix a failing test: the caches that people have
cannot be made anew either.
"""

import io
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from reactions.data.benchmark import RetrievalData
from reactions.labs.reading import load_lab
from reactions.registry import Catalogue
from reactions.workbench import Workbench

from reactions.data.holdout import subset
from reactions.eval.tasks import get_task
from reactions.labs.lab import Lab
from reactions.store import Store

HERE = Path(__file__).parent / "cache_v1"
HEADLINE = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
OTHER = "ImageBind + Cr(CLAP_m, centre=true, recipe=cmcr)"
TASKS = ("esc50", "audioset", "audiocaps")
ITEMS = 40
"""Of each evaluation set."""


class SmallLab(Lab):
    def benchmark(self, task):
        data = super().benchmark(task)
        if isinstance(data, RetrievalData):
            owned = np.flatnonzero(data.owner < ITEMS)
            left = subset(data.left, np.arange(ITEMS), "first")
            right = subset(data.right, owned, "first")
            return replace(data, left=left, right=right, owner=data.owner[owned])
        rows = {
            name: getattr(data, name)[:ITEMS]
            for name in ("labels", "targets", "folds")
            if getattr(data, name, None) is not None
        }
        return replace(data, queries=subset(data.queries, np.arange(ITEMS), "first"), **rows)


def main(folder):
    lab = load_lab(str(HERE / "lab.toml"))
    lab = SmallLab(**{name: getattr(lab, name) for name in lab.__dataclass_fields__})
    store = Store(folder / "cache")
    bench = Workbench(lab, store, device="cpu")
    keys = []
    for text in (HEADLINE, OTHER):
        plan = bench.plan(bench.check(text))
        bench.run(plan.targets)
        keys += [step.key for step in plan.steps() if step.kind != "assemble"]
    # The record names the places of the weights, which are others on every machine.
    specs = [lab.catalogue.by_name(name) for name in lab.catalogue.names()]
    moved = {s.name: replace(s, source=f"/weights/{s.name}.safetensors") for s in specs}
    moved_bench = replace(bench, lab=replace(lab, catalogue=Catalogue(moved)))
    checked = moved_bench.check(HEADLINE)
    bundle = moved_bench.react(checked, out=folder / "bundle", current=False)
    keys += [step.key for step in moved_bench.plan(checked).targets]
    scores = bench.scores(bench.target(bundle.path), [get_task(name) for name in TASKS])
    bench.run(scores.targets)
    keys += [step.key for step in scores.targets]
    files = [folder / "cache" / "store.json"]
    for key in dict.fromkeys(keys):
        files += sorted((folder / "cache" / "entries" / key[:2] / key).iterdir())
    files += sorted((folder / "bundle").iterdir())
    with tarfile.open(HERE / "cache.tar.xz", "w:xz") as tar:
        for path in files:
            add(tar, str(path.relative_to(folder)), path.read_bytes())


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
