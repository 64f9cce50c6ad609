"""Exported heads, loaded by a process that has no molspace, give what ``project`` gives."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from bundles import record_of, tensors_of
from command_line import molspace
from fakes import CG, CM, IB, VL, Encoder, cr, dr, headline
from indexed import items_of, target_at

from reactions.core.errors import MissingError, UsageError
from reactions.core.types import leaves
from reactions.exchange.exporting import folder, graphs
from reactions.exchange.exporting.folder import export_heads
from reactions.exchange.exporting.heads import heads_of
from reactions.inference.projecting import project_rows
from reactions.ops.closed_form import AffineMap
from reactions.products.bundles.bundle import write_bundle
from reactions.products.parts import Centring
from reactions.products.tree import Adjustment

MEANS_RESCALED = replace(cr(dr(IB, VL), CM, CG), mean="unit")
FIXED = Adjustment(sigma={"": 0.3}, lambda_={"": 0.2}, experts=frozenset({"CLAP_m"}))
EXPORTS = {
    "the headline": (headline(), "torch", Adjustment()),
    "rescaled means": (MEANS_RESCALED, "onnx", Adjustment()),
    "a product as an expert": (cr(IB, cr(CM, CG)), "torch", Adjustment()),
    "fixed factors": (headline(), "torch", FIXED),
}
HAS_ONNX = all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
N = 5

LOAD = """
import sys
import json
from importlib.util import find_spec
from pathlib import Path
sys.path = [place for place in sys.path if place and not (Path(place) / "reactions").exists()]
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
import numpy as np
assert find_spec("reactions") is None
roots = [Path(name) for name in sys.argv[1:]]
exports = [(root, json.loads((root / "config.json").read_text())) for root in roots]
parts = [(root, config, *part) for root, config in exports for part in config["modalities"].items()]
for root, config, modality, about in parts:
    given = dict(np.load(root.parent / f"{modality}.npz"))
    rows = [given[each["name"]] for each in about["inputs"]]
    file = str(root / about["file"])
    if config["form"] == "torch":
        import torch
        made = torch.export.load(file).module()(*map(torch.from_numpy, rows)).numpy()
    else:
        import onnxruntime
        session = onnxruntime.InferenceSession(file)
        names = [each["name"] for each in about["inputs"]]
        (made,) = session.run(None, dict(zip(names, rows)))
    np.save(root.parent / f"{modality}.npy", made)
assert not any(name.split(".")[0] in ("reactions", "molspace_cli") for name in sys.modules)
"""


def rows_of(space, modality):
    return {
        leaf.label: Encoder(leaf.spec).embed(modality, items_of(modality, N))
        for leaf in leaves(space)
        if modality in leaf.modalities
    }


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Products and their exports by name, each loaded in a process that has no molspace."""
    targets_and_exports = {}
    for name, (space, form, adjustment) in EXPORTS.items():
        if form == "torch" or HAS_ONNX:
            folder = tmp_path_factory.mktemp("export")
            target = target_at(folder / "bundle", space)
            targets_and_exports[name] = (
                target,
                export_heads(target, form, folder / "out", adjustment),
            )
            for modality in targets_and_exports[name][1].config["modalities"]:
                np.savez(folder / f"{modality}.npz", **rows_of(space, modality))
    paths = [str(exported.path) for _, exported in targets_and_exports.values()]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, *paths],
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("elsewhere"),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return targets_and_exports


@pytest.mark.parametrize("name", EXPORTS)
def test_without_molspace_it_gives_what_project_gives(exports, name):
    if name not in exports:
        pytest.skip("onnx, onnxscript or onnxruntime is not installed")
    (target, exported), adjustment = exports[name], EXPORTS[name][2]
    modalities = exported.config["modalities"]
    assert set(modalities) == {"audio", "image", "text"}
    for modality in modalities:
        rows = rows_of(target.space, modality)
        expected = project_rows(target, modality, rows, target.parts("cpu"), adjustment)
        computed = np.load(exported.path.parent / f"{modality}.npy")
        np.testing.assert_allclose(computed, expected, atol=1e-5)


@pytest.mark.parametrize(
    "part",
    [
        AffineMap("n", ("text",), *map(torch.ones, [(8, 8), (1, 8), (1, 8), (1,)])),
        Centring("ImageBind", {"text": torch.full((8,), 0.1)}),
    ],
)
def test_maps_and_means_can_be_traced(tmp_path, part):
    heads = heads_of(IB, "text", {(IB, None): part}, Adjustment())
    rows = heads.example(4)
    traced = graphs.write_graph("torch", heads, tmp_path / "text.pt2")(rows)
    torch.testing.assert_close(traced, part.apply("text", rows[0]))


def test_factors_and_experts_are_fixed_in_it(exports):
    _, exported = exports["fixed factors"]
    inputs = exported.config["modalities"]["text"]["inputs"]
    assert [leaf["name"] for leaf in inputs] == ["ImageBind", "CLAP_m"]
    assert exported.config["factors"] == {"sigma CLAP_m": {"audio": 0.3, "text": 0.3}}
    readme = (exported.path / "README.md").read_text()
    assert "- sigma CLAP_m: audio 0.3, text 0.3" in readme
    assert "InternVL" not in readme.partition("Licences")[0].partition("fixed:")[2]


def test_what_is_there_stays(tmp_path):
    target = target_at(tmp_path / "bundle", cr(IB, CM))
    export_heads(target, "torch", tmp_path / "out")
    with pytest.raises(UsageError, match="already exists"):
        export_heads(target, "torch", tmp_path / "out")
    overwritten = export_heads(
        target, "torch", tmp_path / "out", Adjustment(sigma={"": 1.0}), overwrite=True
    )
    assert json.loads((overwritten.path / "config.json").read_text()) == overwritten.config
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="something other than an export"):
        export_heads(target, "torch", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="something other than an export"):
        export_heads(target, "torch", tmp_path / "bundle", overwrite=True)


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    target = target_at(tmp_path / "bundle", cr(IB, CM))
    right = graphs.write_graph

    def wrong(form, heads, path):
        compute = right(form, heads, path)
        return lambda rows: compute(rows) + 1e-3

    monkeypatch.setattr(folder, "write_graph", wrong)
    with pytest.raises(folder.StepError, match="differs by 1"):
        export_heads(target, "torch", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"bundle"}


def test_a_modality_that_no_expert_has_is_left_out_and_named(tmp_path):
    target = target_at(tmp_path / "bundle", cr(VL, CM, CG))
    exported = export_heads(target, "torch", tmp_path / "out", Adjustment(experts=frozenset()))
    assert set(exported.config["modalities"]) == {"image", "text"}
    assert "audio" in exported.left_out
    assert "audio is left out" in (tmp_path / "out" / "README.md").read_text()


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    target = target_at(tmp_path / "bundle", cr(IB, CM))
    with pytest.raises(MissingError, match="onnxscript is not installed"):
        export_heads(target, "onnx", tmp_path / "out")


def test_the_command(tmp_path):
    write_bundle(tmp_path / "bundle", record_of(cr(IB, CM)), tensors_of(cr(IB, CM)))

    def export(*arguments):
        return molspace("export", tmp_path / "bundle", *arguments)

    out = str(tmp_path / "out")
    done = export("--to", "torch", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["modalities"]["text"]["file"] == "text.pt2"
    assert "loaded again, differs by" in done.stderr
    for arguments, message in (
        (("--to", "torhc", "--out", out), "did you mean 'torch'"),
        (("--to", "sentence-transformers", "--out", f"{out}-2"), "cannot be written for"),
        (("--to", "torch", "--out", out), "--overwrite"),
        (("--to", "torch", "--out", out, "--overwrite", "--experts", "CLAP_n"), "CLAP_m"),
    ):
        refused = export(*arguments)
        assert refused.returncode == 2, refused.stderr
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
