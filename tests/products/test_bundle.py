import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import GOLDEN, heads_of, record_of, rewrite, tensors_of
from fakes import CG, IB, VL, cr, dr, headline, unit_rows
from safetensors.numpy import load_file, save

from reactions.core.errors import BundleError, MissingError
from reactions.core.hashing import bytes_digest
from reactions.core.types import leaves
from reactions.products.bundles import record as bundle_record
from reactions.products.bundles.bundle import (
    FORMAT,
    PROJECTORS,
    RECORD,
    load_bundle,
    write_bundle,
)
from reactions.products.bundles.reference import is_path, no_bundle
from reactions.products.fuse import fuse

# --- round trip ---


def test_what_is_written_is_loaded(bundle_path):
    space = headline()
    for path in (bundle_path, str(bundle_path), bundle_path / RECORD):
        bundle = load_bundle(path)
        assert bundle.path == bundle_path
        assert bundle.space == space
        assert bundle.expression == "A + Cr(B)"
        assert bundle.lab == "mini (tests)"
        assert bundle.digest == json.loads((bundle_path / RECORD).read_text())["digest"]
    heads, expected = bundle.parts(), heads_of(space)
    assert list(heads) == list(expected)
    for key, projectors in expected.items():
        for loaded, projector in zip(heads[key], projectors, strict=True):
            assert not loaded.training
            for name, value in projector.state().items():
                assert torch.equal(loaded.state()[name], value)


def test_loaded_heads_embed_as_before(bundle_path):
    space = headline()
    rows = {leaf: torch.from_numpy(unit_rows(5, leaf.dim, 1)) for leaf in leaves(space)}
    before = fuse(space, "text", rows, heads_of(space))
    assert torch.equal(fuse(space, "text", rows, load_bundle(bundle_path).parts()), before)


def test_a_record_describes_the_product():
    space = headline()
    record = record_of(space)
    assert (record["format"], record["dim"]) == (1, 6)
    assert record["modalities"] == ["audio", "image", "text"]
    assert [s["name"] for s in record["spaces"]] == ["ImageBind", "InternVL", "CLAP_m", "CLAP_g"]
    assert [(m["expert"], m["op"]) for m in record["mixtures"]] == [
        ("InternVL", "dr"),
        ("CLAP_m", "cr"),
        ("CLAP_g", "cr"),
    ]
    assert record["spaces"][0]["licence"] == ""
    assert record["lab"] == {"name": "tests", "label": "mini (tests)", "seed": 3}


def test_only_two_files_which_others_can_read(bundle_path):
    assert sorted(path.name for path in bundle_path.iterdir()) == [RECORD, PROJECTORS]
    assert stat.S_IMODE(bundle_path.stat().st_mode) == 0o755
    assert [p.name for p in bundle_path.parent.iterdir()] == ["b"]


def test_a_bundle_can_be_moved(bundle_path, tmp_path):
    moved = bundle_path.rename(tmp_path / "elsewhere")
    assert load_bundle(moved).parts()


def test_the_same_product_has_the_same_digest(bundle_path, tmp_path):
    space = headline()
    second_path = write_bundle(tmp_path / "again", record_of(space), tensors_of(space))
    assert load_bundle(second_path).digest == load_bundle(bundle_path).digest
    other = write_bundle(
        tmp_path / "other", record_of(space, settings={"hidden_dim": 5}), tensors_of(space)
    )
    assert load_bundle(other).digest != load_bundle(bundle_path).digest


# --- damage ---


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: (d / RECORD).write_text((d / RECORD).read_text()[:-20]), "not a bundle record"),
        (lambda d: (d / RECORD).write_text(""), "not a bundle record"),
        (lambda d: (d / RECORD).write_text("[]"), "not a bundle record"),
        (lambda d: (d / RECORD).write_text("{}"), "not a bundle record"),
        (lambda d: (d / RECORD).write_bytes(b"\xff\xfe{}"), "not a bundle record"),
        (lambda d: (d / RECORD).write_text("[" * 100_000), "not a bundle record"),
        (lambda d: flip(d / PROJECTORS, -1), "projectors.safetensors was changed"),
        (lambda d: flip(d / PROJECTORS, 9), "projectors.safetensors was changed"),
        (lambda d: os.truncate(d / PROJECTORS, 100), "has 100 bytes, not"),
        (lambda d: (d / PROJECTORS).write_bytes(b""), "has 0 bytes, not"),
        (lambda d: (d / PROJECTORS).unlink(), "projectors.safetensors is missing"),
    ],
)
def test_damage_is_refused(bundle_path, damage, words):
    damage(bundle_path)
    with pytest.raises(BundleError, match=words):
        load_bundle(bundle_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["tree"]["experts"][0]["factors"].update(audio=0.51),
        lambda r: r.update(expression="A + Cr(C)"),
        lambda r: r["lab"].update(label=""),
        lambda r: r["files"][PROJECTORS].update(size_bytes=1),
        lambda r: r.update(extra=1),
        lambda r: r.update(dim=float("nan")),
        lambda r: r.update(expression="\ud800"),
        lambda r: r.pop("settings"),
    ],
)
def test_an_edited_record_is_refused(bundle_path, change):
    claimed = load_bundle(bundle_path).digest
    rewrite(bundle_path, lambda r: (change(r), r.update(digest=claimed)), redigest=False)
    with pytest.raises(BundleError, match=r"bundle.json was changed after it was written"):
        load_bundle(bundle_path)


def test_a_record_without_a_digest_is_told(bundle_path):
    rewrite(bundle_path, lambda r: None, redigest=False)
    with pytest.raises(BundleError, match="was changed"):
        load_bundle(bundle_path)
    # Not even one that cannot have any.
    rewrite(bundle_path, lambda r: r.update(dim=float("nan")), redigest=False)
    with pytest.raises(BundleError, match="was changed"):
        load_bundle(bundle_path)


@pytest.mark.parametrize("format_found", [FORMAT + 1, 99, 0, -1, "1", None, 1.5])
def test_another_format_is_told(bundle_path, format_found):
    rewrite(bundle_path, lambda r: r.update(format=format_found))
    with pytest.raises(BundleError, match="bundle format") as caught:
        load_bundle(bundle_path)
    assert caught.value.fix == "upgrade molspace"


def nest(record):
    tree = {"leaf": "CLAP_g"}
    for _ in range(300):
        tree = {**record["tree"], "base": tree}
    record["tree"] = tree


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.update(files={"../../secret": r["files"][PROJECTORS]}),
        lambda r: r["files"].update({"/etc/passwd": {"size_bytes": 1, "sha256": ""}}),
        lambda r: r.update(files={}),
        lambda r: r.update(files=[PROJECTORS]),
        lambda r: r["files"].update({PROJECTORS: None}),
        lambda r: r["files"][PROJECTORS].update(size_bytes="many"),
        lambda r: r["files"][PROJECTORS].pop("sha256"),
        lambda r: r.update(tree={}),
        lambda r: r.update(tree=[]),
        lambda r: r["tree"].update(op="xr"),
        lambda r: r["tree"].update(experts=[]),
        lambda r: r["tree"]["base"].update(base={"leaf": "Unknown"}),
        lambda r: [e.update(weight=0) for e in r["tree"]["experts"]],
        lambda r: r["tree"]["experts"][0].update(weight="much"),
        lambda r: r["tree"]["experts"][0].update(factors={"audio": 0.5}),
        lambda r: r["spaces"][0].pop("dim"),
        lambda r: r["spaces"][0].update(dim=0),
        lambda r: r["spaces"][0].update(dim="8"),
        lambda r: r["spaces"][0].update(unheard_of=1),
        lambda r: r["spaces"].pop(),
        lambda r: r["mixtures"].pop(),
        lambda r: r["mixtures"][0].pop("subsets"),
        lambda r: r["mixtures"][0].update(subsets=[]),
        lambda r: r.pop("lab"),
        lambda r: r.pop("expression"),
        nest,
    ],
)
def test_a_hostile_record_is_refused(bundle_path, change):
    rewrite(bundle_path, change)
    with pytest.raises(BundleError):
        load_bundle(bundle_path)


def replace_tensors(directory, change):
    """Change the tensors as an attacker would."""
    tensors = load_file(directory / PROJECTORS)
    changed = change(tensors)
    blob = changed if isinstance(changed, bytes) else save(tensors)
    (directory / PROJECTORS).write_bytes(blob)
    entry = {"size_bytes": len(blob), "sha256": bytes_digest(blob)}
    rewrite(directory, lambda r: r["files"].update({PROJECTORS: entry}))


def swap(tensors, name, change):
    tensors[name] = change(tensors[name])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: swap(t, "0.T.0.weight", lambda x: x * np.nan), "0.T.0.weight is not finite"),
        (lambda t: swap(t, "2.TVA.4.bias", lambda x: x + np.inf), "2.TVA.4.bias is not finite"),
        (lambda t: t.pop("1.T.3.weight"), "projector 1.T is not whole"),
        (lambda t: t.pop("1.T.1.running_mean"), "projector 1.T is not whole"),
        (lambda t: t.update({"1.T.9.bias": t["1.T.0.bias"]}), "projector 1.T is not whole"),
        (lambda t: swap(t, "0.T.0.bias", lambda x: x[:-1]), "projector 0.T is not whole"),
        (lambda t: swap(t, "0.T.0.weight", lambda x: x[0]), "projector 0.T is not whole"),
        (
            lambda t: swap(t, "1.T.0.weight", lambda x: np.pad(x, ((0, 0), (0, 1)))),
            r"(?s)1.T is not whole.*takes \(5, 6\) dimensions, its spaces \(4, 6\)",
        ),
        (lambda t: b"\xff" * 64, "cannot read"),
        (lambda t: b"", "cannot read"),
    ],
)
def test_heads_that_do_not_fit_are_told(bundle_path, change, words):
    replace_tensors(bundle_path, change)
    with pytest.raises(BundleError, match=words):
        load_bundle(bundle_path).parts()


def test_heads_take_one_width_to_the_other():
    # ``dr`` projects the base, ``cr`` the expert: a bundle that has it backwards is refused.
    for space, name in ((dr(IB, VL), "dr"), (cr(IB, CG), "cr")):
        directory = Path(os.environ["XDG_DATA_HOME"]) / name
        write_bundle(directory, record_of(space), tensors_of(space))
        assert load_bundle(directory).parts()
        other = cr(IB, VL) if name == "dr" else dr(IB, CG)
        write_bundle(directory, record_of(space), tensors_of(other))
        with pytest.raises(BundleError, match="dimensions"):
            load_bundle(directory).parts()


def test_no_bundle_there(tmp_path):
    for path in (tmp_path, tmp_path / "gone", tmp_path / "gone" / RECORD):
        with pytest.raises(MissingError, match="no bundle at"):
            load_bundle(path)


@pytest.mark.parametrize("typed", ["my-bundel", "./my-bundel", "my-bundle2/", "mybundle"])
def test_a_mistyped_bundle_has_its_neighbour_named(bundle_path, monkeypatch, typed):
    bundle_path.rename(bundle_path.with_name("my-bundle"))
    monkeypatch.chdir(bundle_path.parent)
    assert is_path(typed)
    assert no_bundle(typed, "--space").fix == "did you mean 'my-bundle'?"


@pytest.mark.parametrize(
    "typed", ["ImageBind", "", ".", "my-bundel + A", "my-bundel | B", "w" * 999]
)
def test_what_is_no_mistyped_bundle_is_read_as_a_reaction(bundle_path, monkeypatch, typed):
    bundle_path.rename(bundle_path.with_name("my-bundle"))
    (bundle_path.parent / "my-bundel2").mkdir()  # no bundle
    monkeypatch.chdir(bundle_path.parent)
    assert not is_path(typed)


def test_an_enormous_record_is_not_read(bundle_path, monkeypatch):
    monkeypatch.setattr(bundle_record, "MAX_RECORD_BYTES", 100)
    with pytest.raises(BundleError, match="too large"):
        load_bundle(bundle_path)


# --- the golden bundle ---


def test_a_version_1_bundle_loads_forever():
    bundle = load_bundle(GOLDEN)
    assert bundle.space == headline()
    assert bundle.expression == "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
    assert bundle.lab == "tests"
    assert bundle.record["molspace"] == "0.1.0"
    heads = bundle.parts()
    assert [len(mixture) for mixture in heads.values()] == [2, 1, 1]
    rows = {
        leaf: torch.linspace(-1, 1, leaf.dim, dtype=torch.float32)[None]
        for leaf in leaves(bundle.space)
    }
    embedded = {m: fuse(bundle.space, m, rows, heads)[0] for m in bundle.space.modalities}
    expected = {
        "audio": [0.389421, 0.623301, -0.031899, -0.139163, -0.586507, -0.308988],
        "image": [-0.592404, -0.313179, -0.155772, 0.141799, 0.306684, 0.6423],
        "text": [-0.619759, -0.289379, -0.149023, 0.113145, 0.29641, 0.639758],
    }
    for modality, row in expected.items():
        # fp32 on any machine.
        np.testing.assert_allclose(embedded[modality], row, atol=1e-5)
