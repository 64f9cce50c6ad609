"""A product of five modalities, trained on the subsets that a lab file chooses, and read again."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import molspace
from media_files import put
from twin_folders import ids, unit, write_space

from reactions import load, react
from reactions.core.errors import UsageError
from reactions.core.types import Item

MODALITIES = ("audio", "depth", "image", "text", "video")
N = 40


@pytest.fixture
def lab(tmp_path):
    """Return what writes a lab file of two folders of embeddings, with a choice of subsets."""
    rng = np.random.default_rng(0)
    for name, embedded, dim in (("base", MODALITIES, 12), ("expert", MODALITIES[2:4], 8)):
        rows = {modality: unit(rng.normal(size=(N, dim))) for modality in embedded}
        write_space(tmp_path / name, rows, ids(N))

    def write(subsets: str) -> str:
        text = f"[reaction]\nhidden_dim = 8\nbatch_size = 16\ncr_epochs = 1\n{subsets}\n"
        text += '[spaces.Wide]\npath = "base"\n[spaces.Narrow]\npath = "expert"\n'
        return str(put(tmp_path / "molspace.toml", text))

    return write


ALL = "audio+depth+image+text+video"


@pytest.mark.parametrize(
    ("subsets", "n", "subsets_expected"),
    [
        ("", 31, {"T", "TVA", "depth+video", ALL}),
        ('subsets = "singles+all"', 6, {"T", "V", "A", "depth", "video", ALL}),
        (
            'subsets = [["text", "image"], ["video", "depth", "audio"]]',
            2,
            {"TV", "audio+depth+video"},
        ),
    ],
)
@pytest.mark.parametrize("expression", ["Narrow + Cr(Wide)", "Wide + Cr(Narrow)"])
def test_it_is_trained_and_read_again(lab, tmp_path, subsets, n, subsets_expected, expression):
    path = lab(subsets)
    if expression.startswith("Wide") and not subsets.endswith("]"):
        # What the base alone embeds takes part where it is named.
        n, subsets_expected = (7 if not subsets else 4), {"T", "V", "A", "TVA"}
    with react(expression, lab=path, out=tmp_path / "bundle") as fused:
        assert fused.modalities == MODALITIES
        item = [Item(ids(N)[0], "video", None)]
        row = fused.embed(video=item)["video"]
        text = fused.embed(text=[Item(ids(N)[0], "text", None)], sigma=1.0)["text"]
    record = json.loads((tmp_path / "bundle/bundle.json").read_text())
    (mixture,) = record["mixtures"]
    assert len(mixture["subsets"]) == len(record["projectors"]) == n
    assert subsets_expected <= set(mixture["subsets"])
    assert ("subsets" in record["settings"]) == bool(subsets)
    with load(tmp_path / "bundle", lab=path) as reloaded:
        np.testing.assert_array_equal(reloaded.embed(video=item)["video"], row)
        np.testing.assert_array_equal(
            reloaded.embed(text=[Item(ids(N)[0], "text", None)], sigma=1.0)["text"], text
        )


def test_a_plan_says_how_many_projectors_all_subsets_need(lab):
    lab("")
    result = molspace("plan", "Narrow + Cr(Wide)", "--json", cwd=Path(lab("")).parent)
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert len(plan["projectors"]) == 31
    assert any('"singles+all" under [reaction] trains 6' in notice for notice in plan["notices"])


@pytest.mark.parametrize(
    ("subsets", "what"),
    [
        ('subsets = "singles"', r"reaction\.subsets is 'singles'"),
        ("subsets = [[]]", r"reaction\.subsets has an empty subset"),
        ('subsets = [["text", "smell"]]', "no modality 'smell' to train on"),
        ('subsets = [["text", "image", "audio"]]', r"reaction\.subsets leaves depth out"),
    ],
)
def test_what_cannot_be_meant(lab, subsets, what):
    with pytest.raises(UsageError, match=what):
        react("Narrow + Cr(Wide)", lab=lab(subsets))
