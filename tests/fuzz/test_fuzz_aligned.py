"""Bundles of strangers with a part of Lcl: each is refused, or embeds to rows of unit norm."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from altered_json import altered
from bundles import record_of, tensors_of
from fakes import CM as EXPERT
from fakes import IB, Encoder, cr, unit_rows
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import MolspaceError
from reactions.core.hashing import bytes_digest, digest
from reactions.core.lcl_options import LclOptions
from reactions.core.types import Item, Tuned
from reactions.exchange.model_card import model_card
from reactions.inference.embedder import Embedder
from reactions.products.bundles.bundle import RECORD, Bundle, load_bundle, write_bundle
from reactions.products.target import Target
from reactions.products.tunings import learnings

PART = "part-0.safetensors"
SPACE = cr(Tuned("lcl", IB, ("kb",), LclOptions(temperature=0.5)), EXPERT)


def about() -> dict[str, Any]:
    layer = {"corpus": "x:train", "digest": "ab" * 32, "rows": 9, "texts": 8, "steps": 3}
    return {
        "knowledge": {"name": "kb", "digest": "cd" * 32, "dataset": "x"},
        "models": [{"name": "m", "revision": "", "licence": "MIT"}],
        "targets": "descriptions",
        "norms": "unit",
        "settings": {"temperature": 0.5, "batch_size": 3, "epochs": 1},
        "layers": {"audio": layer, "image": dict(layer)},
    }


def files() -> dict[str, bytes]:
    """Return a good bundle's files."""
    folder = Path(tempfile.mkdtemp())
    record = record_of(SPACE)
    record |= {"format": 2, "parts": [{"kind": "lcl", "node": "base", "about": about()}]}
    tensors = dict(tensors_of(SPACE))
    for k, modality in enumerate(("audio", "image")):
        tensors[f"part.0.{modality}.weight"] = unit_rows(8, 8, k)
        tensors[f"part.0.{modality}.bias"] = unit_rows(1, 8, 9 + k)[0]
    try:
        write_bundle(folder / "b", record, tensors)
        return {path.name: path.read_bytes() for path in (folder / "b").iterdir()}
    finally:
        shutil.rmtree(folder)


GOOD = files()


def use(folder: Path) -> Bundle:
    """Do with a bundle what show, push and infer do."""
    bundle = load_bundle(folder)
    model_card(bundle, "me/fused")
    list(learnings(bundle.record["parts"]))
    embedder = Embedder(
        Target(bundle.expression, bundle.space, bundle.lab, bundle),
        load_encoder=lambda spec, device: Encoder(spec),
        device="cpu",
    )
    for modality in bundle.space.modalities:
        rows = embedder.embed(modality, [Item("1", modality, "one"), Item("2", modality, "two")])
        assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-3)
    return bundle


def used_or_refused(record: Any, part: bytes) -> Bundle | MolspaceError:
    """Use a bundle whose record was signed again, as far as it can be."""
    if isinstance(record, dict):
        record = {key: value for key, value in record.items() if key != "digest"}
        files_recorded = record.get("files")
        if isinstance(files_recorded, dict) and isinstance(files_recorded.get(PART), dict):
            entry = {"size_bytes": len(part), "sha256": bytes_digest(part)}
            record["files"] = {**files_recorded, PART: {**files_recorded[PART], **entry}}
        try:
            record["digest"] = digest("bundle", record)
        except (TypeError, ValueError, RecursionError):
            record["digest"] = "0" * 64
    folder = Path(tempfile.mkdtemp())
    try:
        for name, content in {**GOOD, PART: part}.items():
            (folder / name).write_bytes(content)
        text = json.dumps(record).encode("utf-8", "surrogatepass")
        (folder / RECORD).write_bytes(text)
        return usable_or_refused(lambda: use(folder))
    finally:
        shutil.rmtree(folder)


def test_the_good_bundle_is_used() -> None:
    assert isinstance(used_or_refused(json.loads(GOOD[RECORD]), GOOD[PART]), Bundle)


@fuzz
@given(st.data())
def test_what_a_record_says_of_the_part(data: st.DataObject) -> None:
    record = json.loads(GOOD[RECORD])
    record["parts"] = data.draw(altered(record["parts"]))
    used_or_refused(record, GOOD[PART])


@fuzz
@given(st.data())
def test_what_a_tree_says_of_it(data: st.DataObject) -> None:
    record = json.loads(GOOD[RECORD])
    record["tree"] = data.draw(altered(record["tree"]))
    used_or_refused(record, GOOD[PART])


@fuzz
@given(mutated(GOOD[PART]))
def test_damaged_tensors(part: bytes) -> None:
    used_or_refused(json.loads(GOOD[RECORD]), part)
