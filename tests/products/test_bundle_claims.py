"""Bundles whose record was altered and signed again: what a reaction cannot say is refused."""

import json
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from bundles import GOLDEN, rewrite
from safetensors.numpy import load_file, save

from reactions.core.errors import BundleError
from reactions.core.hashing import bytes_digest, file_digest
from reactions.products.bundles import tensors as bundle_tensors
from reactions.products.bundles.bundle import PROJECTORS, RECORD, load_bundle


def experts(record):
    return record["tree"]["experts"]


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


CHANGES = {
    "a negative weight": lambda r: experts(r)[0].update(weight=-1),
    "a huge weight": lambda r: experts(r)[0].update(weight=1e308),
    "weights of more than 1": lambda r: [e.update(weight=1.0) for e in experts(r)],
    "weights of less than 1": lambda r: [e.update(weight=0.25) for e in experts(r)],
    "a weight of true": lambda r: experts(r)[0].update(weight=True),
    "a weight as text": lambda r: experts(r)[0].update(weight="0.5"),
    "a factor of 7": lambda r: experts(r)[0]["factors"].update(audio=7),
    "a factor of -0.1": lambda r: experts(r)[0]["factors"].update(audio=-0.1),
    "a factor of true": lambda r: experts(r)[0]["factors"].update(audio=True),
    "a factor as text": lambda r: experts(r)[0]["factors"].update(audio="0.5"),
    "no factor of a shared modality": lambda r: experts(r)[0]["factors"].pop("audio"),
    "a factor of another modality": lambda r: experts(r)[0]["factors"].update(depth=0.5),
    "factors as a list": lambda r: experts(r)[0].update(factors=[["audio", 0.5]]),
    "an unknown recipe": lambda r: experts(r)[0].update(recipe="pickle"),
    "a recipe that is not text": lambda r: experts(r)[0].update(recipe=["paper"]),
    "anchors nothing embeds": lambda r: experts(r)[0].update(anchors=["depth"]),
    "no anchors": lambda r: experts(r)[0].update(anchors=[]),
    "anchors twice": lambda r: experts(r)[0].update(anchors=["audio", "audio"]),
    "anchors as text": lambda r: experts(r)[0].update(anchors="audio"),
    "a mean of another kind": lambda r: r.update(
        format=2, parts=[], tree={**r["tree"], "mean": "x"}
    ),
    "a mean that is a list": lambda r: r.update(format=2, parts=[], tree={**r["tree"], "mean": []}),
    "a mean that goes without saying": lambda r: r["tree"].update(mean="eq10"),
    "a mean in format 1": lambda r: r["tree"].update(mean="unit"),
    "a mean of one expert": lambda r: (
        r.update(format=2, parts=[]),
        r["tree"]["base"].update(mean="unit"),
    ),
    "the same expert twice": lambda r: experts(r)[1].update(space=experts(r)[0]["space"]),
    "the base as its expert": lambda r: experts(r)[1].update(space=r["tree"]["base"]),
    "a tuned product": lambda r: r.update(tree={"ft": r["tree"], "arguments": ["a", "b"]}),
    "a leaf with more": lambda r: r["tree"]["base"]["base"].update(op="dr"),
    "an operator that is a list": lambda r: r["tree"].update(op=["cr"]),
    "a leaf that is a list": lambda r: r["tree"]["base"].update(base={"leaf": []}),
    "a space twice": lambda r: r["spaces"].append(r["spaces"][0]),
    "spaces in another order": lambda r: r["spaces"].reverse(),
    "spaces that are not a list": lambda r: r.update(spaces={"a": 1}),
    "a dimension of true": lambda r: r["spaces"][0].update(dim=True),
    "a negative dimension": lambda r: r["spaces"][0].update(dim=-8),
    "a huge dimension": lambda r: r["spaces"][0].update(dim=10**12),
    "a dimension with a fraction": lambda r: r["spaces"][0].update(dim=8.0),
    "another dimension of the product": lambda r: r.update(dim=7),
    "other modalities of the product": lambda r: r.update(modalities=["text"]),
    "a modality that cannot be written": lambda r: r["spaces"][1]["modalities"].append("z z"),
    "a modality that is not text": lambda r: r["spaces"][1]["modalities"].append(7),
    "modalities that are not sorted": lambda r: r["spaces"][1]["modalities"].reverse(),
    "a modality twice": lambda r: r["spaces"][1].update(modalities=["image", "image", "text"]),
    "modalities as text": lambda r: r["spaces"][1].update(modalities="text"),
    "a hub it does not embed": lambda r: r["spaces"][1].update(hub="audio"),
    "a hub that is a list": lambda r: r["spaces"][1].update(hub=[]),
    "a name that is not text": lambda r: r["spaces"][0].update(name=7),
    "a source that is not text": lambda r: r["spaces"][0].update(source={"a": 1}),
    "an adapter that is not text": lambda r: r["spaces"][0].update(adapter=None),
    "a licence that is not text": lambda r: r["spaces"][0].update(licence=7),
    "a digest that is not text": lambda r: r["spaces"][0].update(weights_digest=7),
    "a revision that is not text": lambda r: r["spaces"][0].update(revision=[1]),
    "a lab of a space that is not text": lambda r: r["spaces"][0].update(lab=None),
    "work that is not finite": lambda r: r["spaces"][0].update(flops_per_item=[["text", "1"]]),
    "preprocessing of nothing": lambda r: r["spaces"][0].update(preprocessing=[["depth", "1"]]),
    "preprocessing that is not a pair": lambda r: r["spaces"][0].update(preprocessing=["text"]),
    "a mixture of another expert": lambda r: r["mixtures"][0].update(expert="CLAP_m"),
    "a mixture of another kind": lambda r: r["mixtures"][0].update(op="cr"),
    "a mixture that is a list": lambda r: r["mixtures"].__setitem__(0, []),
    "an expert that is not text": lambda r: r["mixtures"][0].update(expert=7),
    "a subset twice": lambda r: r["mixtures"][0].update(subsets=["T", "T"]),
    "subsets as text": lambda r: r["mixtures"][0].update(subsets="T"),
    "a subset that is not text": lambda r: r["mixtures"][0].update(subsets=["T", 7]),
    "a subset that is a list": lambda r: r["mixtures"][0].update(subsets=[[], "T"]),
    "a lab that is a list": lambda r: r.update(lab=["mini"]),
    "a lab without a seed": lambda r: r["lab"].pop("seed"),
    "a lab without a name": lambda r: r["lab"].pop("name"),
    "a label that is not text": lambda r: r["lab"].update(label=7),
    "a seed that is text": lambda r: r["lab"].update(seed="3"),
    "a seed of true": lambda r: r["lab"].update(seed=True),
    "a seed that is huge": lambda r: r["lab"].update(seed=10**4000),
    "an expression that is not text": lambda r: r.update(expression=["A"]),
    "no expression": lambda r: r.update(expression=""),
    "settings that are a list": lambda r: r.update(settings=[1]),
    "a temperature of 0": lambda r: r["settings"].update(info_nce_temperature=0),
    "a negative temperature": lambda r: r["settings"].update(collect_temperature=-0.1),
    "a temperature as text": lambda r: r["settings"].update(info_nce_temperature="0.02"),
    "a width of true": lambda r: r["settings"].update(hidden_dim=True),
    "an unknown precision": lambda r: r["settings"].update(precision="exactly"),
    "a holdout of all": lambda r: r["settings"].update(holdout=1.5),
    "steps that are a list": lambda r: r.update(steps=[1]),
    "a step that is not text": lambda r: r.update(steps={"a": 1}),
    "a version that is not text": lambda r: r.update(molspace=1),
    "an import of nothing": lambda r: r.update(imported={}),
    "an import that is text": lambda r: r.update(imported="freebind"),
    "an import of files as a list": lambda r: r.update(
        imported={"from": "a", "product": "b", "files": ["c"]}
    ),
    "a size of true": lambda r: r["files"][PROJECTORS].update(size_bytes=True),
    "a negative size": lambda r: r["files"][PROJECTORS].update(size_bytes=-1),
    "a digest of another kind": lambda r: r["files"][PROJECTORS].update(sha256=7),
    "an unknown field nested without end": lambda r: r.update(extra=deep(400)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_no_reaction_says_is_refused(bundle_path, change):
    rewrite(bundle_path, change)
    with pytest.raises(BundleError):
        load_bundle(bundle_path)


def test_what_this_version_does_not_know_is_let_pass(bundle_path):
    rewrite(bundle_path, lambda r: r.update(later={"a": [1, 2.5, None]}))
    assert load_bundle(bundle_path).record["later"] == {"a": [1, 2.5, None]}


def test_the_message_says_what_is_wrong(bundle_path):
    rewrite(bundle_path, lambda r: experts(r)[0].update(weight=-1))
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_path)
    assert caught.value.what == f"{bundle_path / RECORD} is incoherent"
    assert "weight -1: weights of parallel experts must be positive" in caught.value.why
    rewrite(bundle_path, lambda r: [e.update(weight=0.25) for e in experts(r)])
    with pytest.raises(BundleError, match=r"the experts' weights sum to 0\.5, not to 1"):
        load_bundle(bundle_path)


# --- tensors ---


def sign(directory, blob):
    (directory / PROJECTORS).write_bytes(blob)
    entry = {"size_bytes": len(blob), "sha256": bytes_digest(blob)}
    rewrite(directory, lambda r: r["files"].update({PROJECTORS: entry}))


def altered_header(directory, change):
    """Change a header as an attacker would: the file's digest fits again."""
    blob = (directory / PROJECTORS).read_bytes()
    (n_bytes,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8 : 8 + n_bytes])
    change(header)
    text = json.dumps(header).encode()
    sign(directory, struct.pack("<Q", len(text)) + text + blob[8 + n_bytes :])


HEADERS = {
    "a shape beyond its bytes": lambda h: h["0.T.0.weight"].update(shape=[10**6, 10**6]),
    "a negative length": lambda h: h["0.T.0.weight"].update(shape=[-4, -8]),
    "a length of true": lambda h: h["0.T.0.weight"].update(shape=[True, 32]),
    "a length of text": lambda h: h["0.T.0.weight"].update(shape=["4", 8]),
    "a length beyond counting": lambda h: h["0.T.0.weight"].update(shape=[10**30, 8]),
    "a shape that is a number": lambda h: h["0.T.0.weight"].update(shape=32),
    "one shape for another": lambda h: h["0.T.0.weight"].update(shape=[8, 4]),
    "empty tensors": lambda h: h["0.T.0.weight"].update(shape=[0, 8], data_offsets=[0, 0]),
    "numbers of another type": lambda h: h["0.T.0.weight"].update(dtype="I32"),
    "an unknown type": lambda h: h["0.T.0.weight"].update(dtype=["F32"]),
    "offsets beyond the file": lambda h: h["0.T.0.weight"].update(
        shape=[10**9, 8], data_offsets=[0, 32 * 10**9]
    ),
    "overlapping tensors": lambda h: h["0.T.0.weight"].update(
        data_offsets=h["1.T.0.weight"]["data_offsets"]
    ),
    "offsets the wrong way": lambda h: h["0.T.0.weight"]["data_offsets"].reverse(),
    "three offsets": lambda h: h["0.T.0.weight"]["data_offsets"].append(1),
    "a tensor that is a list": lambda h: h.update({"0.T.0.weight": []}),
    "tensors of nothing": lambda h: h.update({"9.T.0.weight": h.pop("0.T.0.weight")}),
    "a name without dots": lambda h: h.update({"weight": h.pop("0.T.0.weight")}),
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS.keys())
def test_headers_are_held_against_the_file_and_the_record(bundle_path, change):
    altered_header(bundle_path, change)
    with pytest.raises(BundleError):
        load_bundle(bundle_path)


def test_a_header_that_is_no_object(bundle_path):
    for text in (b"[]", b"7", b"{", b"[" * 10_000, b'{"a": ' * 5_000, b"\xff\xfe"):
        sign(bundle_path, struct.pack("<Q", len(text)) + text)
        with pytest.raises(BundleError):
            load_bundle(bundle_path)


def test_a_header_as_large_as_the_file_says_is_not_read(bundle_path, monkeypatch):
    monkeypatch.setattr(bundle_tensors, "MAX_HEADER_BYTES", 100)
    with pytest.raises(BundleError, match="a header of"):
        load_bundle(bundle_path)


def test_heads_that_would_take_gigabytes_are_refused_before_they_are_made(bundle_path):
    """One megabyte of tensors whose widths do not meet: a head of them has 10^10 weights."""
    tensors = load_file(bundle_path / PROJECTORS)
    tensors["0.T.0.weight"] = np.zeros((100_000, 8), np.float32)
    tensors["0.T.3.weight"] = np.zeros((100_000, 1), np.float32)
    blob = save(tensors)
    (bundle_path / PROJECTORS).write_bytes(blob)
    code = f"""
        import resource, sys
        from pathlib import Path
        import torch, reactions.ops.mcr, safetensors.torch
        from reactions.products.bundles.bundle import load_bundle
        from reactions.core.errors import BundleError
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + (300 << 20),) * 2)
        try:
            load_bundle({str(bundle_path)!r}).parts()
        except BundleError as error:
            sys.exit(0 if "0.T is not whole" in str(error) else str(error))
        sys.exit("loaded")
    """
    sign(bundle_path, blob)
    if sys.platform != "linux":
        pytest.skip("the limit is Linux's")
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr


def test_a_negative_variance_is_refused(bundle_path):
    tensors = load_file(bundle_path / PROJECTORS)
    tensors["0.T.1.running_var"] = -tensors["0.T.1.running_var"] - 1
    sign(bundle_path, save(tensors))
    with pytest.raises(BundleError, match="negative variance"):
        load_bundle(bundle_path).parts()


# --- files that are not files ---


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_not_read(bundle_path):
    for name in (RECORD, PROJECTORS):
        good = (bundle_path / name).read_bytes()
        for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
            (bundle_path / name).unlink()
            make(bundle_path / name)
            with pytest.raises(BundleError):
                load_bundle(bundle_path)
        (bundle_path / name).unlink()
        (bundle_path / name).write_bytes(good)
    assert load_bundle(bundle_path)


def test_a_record_of_gigabytes_is_not_read(bundle_path):
    with (bundle_path / RECORD).open("r+b") as stream:
        stream.truncate(8 << 30)  # a hole: it takes no disk
    with pytest.raises(BundleError, match="too large"):
        load_bundle(bundle_path)


def test_projectors_of_gigabytes_are_refused_by_their_header(bundle_path):
    with (bundle_path / PROJECTORS).open("r+b") as stream:
        stream.truncate(64 << 30)
    rewrite(bundle_path, lambda r: r["files"][PROJECTORS].update(size_bytes=64 << 30))
    with pytest.raises(BundleError, match="tensors of"):
        load_bundle(bundle_path)


def test_the_golden_bundle_is_untouched():
    assert file_digest(Path(GOLDEN) / PROJECTORS).startswith("c2b993ff")
    assert load_bundle(GOLDEN)
