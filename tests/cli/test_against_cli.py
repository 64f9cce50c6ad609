"""``molspace spaces doctor --against``: options, what is printed, exit codes."""

import json
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from molspace_cli import complete
from molspace_cli.app import app
from reactions.core.errors import MissingError, UsageError
from reactions.encoders import registry
from reactions.encoders.official import comparison, names, packages
from reactions.encoders.official.base import OfficialModel, OfficialPackage
from reactions.encoders.official.names import NAMES


@pytest.fixture
def doctor():
    """Return a function that runs the command and returns its result."""

    def run(*arguments):
        command = ["spaces", "doctor", *map(str, arguments)]
        return CliRunner().invoke(app, command, catch_exceptions=False)

    return run


class Same(OfficialPackage):
    """A package whose model is the mini lab's own; a weight of it can be wrong."""

    name = "same"
    adapters = ("mini",)
    modalities = ("audio", "image", "text", "depth")
    pins: ClassVar = {"image": "nothing at all", "audio": "crops"}
    off = 0.0

    def install(self):
        return "pip install same"

    def require(self):
        pass

    def network_inputs(self, modality):
        return ()

    def open(self, spec, device):
        import torch

        encoder = registry._adapter("mini").load(spec, device=device)

        def embed(item):
            row = torch.from_numpy(encoder.embed(item.modality, [item])[0])
            return row + self.off * (item.modality == "text") * torch.linspace(0, 1, len(row))

        ways = dict.fromkeys(spec.modalities, embed)
        return OfficialModel(ways, {"image": embed})


@pytest.fixture
def same(monkeypatch):
    monkeypatch.setattr(packages, "PACKAGES", {**packages.PACKAGES, Same.name: Same})
    monkeypatch.setattr(names, "NAMES", (*NAMES, Same.name))
    return Same


def test_a_space_and_a_package_that_agree(doctor, same):
    result = doctor("InternVL", "--lab", "mini", "--against", "same")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "# InternVL against same: the same embeddings"
    assert lines[1].split("\t") == [
        *("modality", "setting", "items", "difference", "cosine", "where", "verdict")
    ]
    image, usual, text = (line.split("\t") for line in lines[2:5])
    assert image[:5] == ["image", "pinned", "6", "0.0e+00", "1.000000"]
    assert (usual[1], usual[-1]) == ("as published", "for information")
    assert (text[0], text[2], text[-1]) == ("text", "7", "agrees")
    assert "# pinned in same, image: nothing at all" in lines
    assert not any("crops" in line for line in lines)
    assert "0.0001 at most" in lines[-1]
    assert "loading its weights into same" in result.stderr


def test_a_difference_is_exit_code_4_with_its_place(doctor, same, monkeypatch):
    monkeypatch.setattr(same, "off", 0.01)
    result = doctor("InternVL", "--lab", "mini", "--against", "same", "--json")
    assert result.exit_code == 4
    body = json.loads(result.stdout)
    assert body["schema"] == "molspace.doctor_against/1"
    assert (body["space"], body["package"], body["agrees"]) == ("InternVL", "same", False)
    (wrong,) = [
        agreement for agreement in body["agreements"] if agreement["verdict"] == "disagrees"
    ]
    assert (wrong["modality"], wrong["bound"]) == ("text", comparison.BOUNDS["fp32"])
    assert wrong["difference"] > wrong["bound"]
    assert body["pins"] == {"image": "nothing at all"}
    result = doctor("InternVL", "--lab", "mini", "--against", "same")
    assert result.exit_code == 4
    assert result.stdout.startswith("# InternVL against same: 1 wrong\n")


def test_own_samples_are_compared(doctor, same, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "mine.png").read_bytes()[:60])
    (tmp_path / "film.mkv").write_bytes(b"")
    result = doctor("InternVL", "--lab", "mini", "--against", "same", "--samples", tmp_path)
    assert result.exit_code == 0
    assert "image\tpinned\t1\t0.0e+00\t1.000000\tmine.png\tagrees" in result.stdout
    assert "text\t-\t0\t-\t-\t-\tnot compared" in result.stdout
    assert "# text: there were no samples" in result.stdout
    assert "# left out: cut.png: molspace cannot embed it: " in result.stdout
    assert "left out 1 with .mkv" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--against", "laion-clap"), "did you mean 'laion_clap'?"),
        (("--against", "laion_clap", "--renew"), "--renew"),
        (("--samples", "."), "add --against"),
        (("--against", "laion_clap"), "molspace's own: no other package runs them"),
    ],
)
def test_what_cannot_be_compared_is_refused(doctor, arguments, words):
    with pytest.raises(UsageError) as caught:
        doctor("CLAP_m", "--lab", "mini", *arguments)
    assert words in str(caught.value)


def test_other_examinations_name_the_package_to_compare_with(doctor, same, monkeypatch):
    monkeypatch.setattr("reactions.encoders.doctor.SPEED_S", 0.0)
    result = doctor("InternVL", "--lab", "mini")
    assert result.stdout.endswith(
        "# --against same compares it with that package on the same weights\n"
    )
    monkeypatch.setattr(same, "adapters", ())
    assert "--against" not in doctor("InternVL", "--lab", "mini").stdout


def test_packages_are_completed():
    assert complete.packages("") == sorted(NAMES)
    assert complete.packages("open") == ["open_clip"]


def test_a_space_without_weights_is_reported_as_ever(doctor, monkeypatch):
    monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
    with pytest.raises(MissingError, match="no weights for space 'CLAP_m'"):
        doctor("CLAP_m", "--lab", "paper", "--against", "laion_clap")


def test_embeddings_in_files_have_no_package(doctor, tmp_path):
    np.save(tmp_path / "text.npy", np.eye(4, dtype=np.float32))
    with pytest.raises(UsageError, match="cannot be compared") as caught:
        doctor(f"precomputed:{tmp_path}", "--against", "transformers")
    assert "nothing embeds them anew" in caught.value.why
