from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lab_files import SPACE, load, write

from reactions.core.errors import MissingError, MolspaceError, UsageError
from reactions.core.factor_defaults import FactorDefaults
from reactions.core.settings import PAPER_SETTINGS, ReactionSettings
from reactions.labs.lab_file import find_lab, load_lab
from reactions.labs.mini.spaces import SPACES

pytestmark = pytest.mark.usefixtures("own_folder")


# --- finding ---


def test_without_a_file_it_is_the_mini_lab():
    assert find_lab().name == "mini.toml"
    assert find_lab() == find_lab("mini")
    lab = load_lab()
    assert (lab.name, lab.label, lab.world_tasks) == ("mini", "mini", True)
    assert set(lab.catalogue.names()) == {space.name for space in SPACES}


def test_a_file_in_the_working_directory_comes_first(tmp_path):
    write('[lab]\nname = "own"')
    assert find_lab() == tmp_path / "molspace.toml"
    assert load_lab().name == "own"
    assert load_lab("mini").name == "mini"


def test_a_lab_by_its_path(tmp_path, monkeypatch):
    path = write('[lab]\nname = "own"', "sub/x.toml")
    assert load_lab("sub/x.toml").path == path.resolve()
    write('[lab]\nname = "folder"', "sub/molspace.toml")
    assert load_lab("sub").name == "folder"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_lab("~/sub/x.toml").name == "own"


def test_the_paper_lab_reads_without_weights_or_data(monkeypatch, tmp_path):
    monkeypatch.setenv("MOLSPACE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lab = load_lab("paper", data=tmp_path)
    assert lab.label == "paper"
    assert lab.catalogue.names() == (
        "ImageBind",
        "PointBind",
        "InternVL",
        "CLAP_g",
        "CLAP_m",
        "WAV2CLIP",
        "AudioCLIP",
    )
    assert list(lab.catalogue) == []
    assert lab.settings == PAPER_SETTINGS
    assert lab.corpora["text"].sources[0].paths == (f"{tmp_path}/corpora/captions.txt",)
    assert lab.data.root == tmp_path
    with pytest.raises(MissingError, match="no weights for space 'CLAP_g'"):
        lab.catalogue.by_name("CLAP_g")
    with pytest.raises(MissingError, match=r"captions\.txt"):
        lab.corpus("text")


def test_data_lie_where_the_environment_says(monkeypatch, tmp_path):
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("MOLSPACE_DATA", str(tmp_path / "here"))
    assert load_lab("paper").data.root == tmp_path / "here"
    monkeypatch.delenv("MOLSPACE_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert load_lab("paper").data.root == tmp_path / "molspace" / "data"


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("laion_clap:weights/x.pt", "laion_clap:{}/weights/x.pt"),
        ("wav2clip:weights/x.pt?clip=a", "wav2clip:{}/weights/x.pt?clip=a"),
        ("hf:./weights", "hf:{}/weights"),
        ("hf:../y?precision=bf16", "hf:{}/../y?precision=bf16"),
        ("hf:weights/clip", "hf:weights/clip"),  # ORG/REPO on the hub
        ("imagebind:imagebind_huge.pth", "imagebind:imagebind_huge.pth"),
        ("laion_clap:/elsewhere/x.pt", "laion_clap:/elsewhere/x.pt"),
    ],
)
def test_paths_in_uris_start_beside_the_file(tmp_path, monkeypatch, uri, meant):
    lab = tmp_path / "lab"
    (lab / "weights").mkdir(parents=True)
    (lab / "weights/clip").mkdir()
    (lab / "weights/x.pt").touch()
    (lab / "molspace.toml").write_text(f'[spaces.X]\nuri = "{uri}"')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_lab(str(lab)).uris["X"] == meant.format(lab).replace(f"{lab}/..", str(tmp_path))


def embeddings_at(folder):
    folder.mkdir()
    np.save(folder / "text.npy", np.eye(3, dtype=np.float32))
    return folder


def test_a_space_by_uri_is_described_when_it_is_used(tmp_path):
    folder = embeddings_at(tmp_path / "mine")
    lab = load(
        f"""
        [spaces.Mine]
        uri = "precomputed:{folder}"
        hub = "text"
        [spaces.Gone]
        uri = "precomputed:/nowhere"
        """
    )
    assert list(lab.catalogue) == []
    spec = lab.catalogue.by_name("Mine")
    assert (spec.name, spec.dim, spec.hub) == ("Mine", 3, "text")
    with pytest.raises(MolspaceError, match="nowhere"):
        lab.catalogue.by_name("Gone")


def test_a_hub_must_be_one_of_the_models_modalities(tmp_path):
    folder = embeddings_at(tmp_path / "mine")
    lab = load(f'[spaces.Mine]\nuri = "precomputed:{folder}"\nhub = "image"\n')
    with pytest.raises(UsageError, match=r"spaces.Mine.hub names 'image'"):
        lab.catalogue.by_name("Mine")


def test_unknown_labs():
    with pytest.raises(MissingError, match="no lab 'mimi'") as caught:
        load_lab("mimi")
    assert caught.value.fix == "did you mean 'mini'?   or give the path of a file"
    for name in ("x/y.toml", "mimi.toml"):
        with pytest.raises(MissingError, match=f"no lab '{name}'") as caught:
            load_lab(name)
        assert caught.value.why == f"there is no file '{Path.cwd() / name}'"


# --- what a lab says ---


def test_an_empty_file_is_a_lab_named_after_its_folder(tmp_path):
    lab = load("")
    assert (lab.name, lab.label) == (tmp_path.name, tmp_path.name)
    assert (lab.seed, lab.world_tasks, dict(lab.corpora)) == (0, False, {})
    assert (lab.settings, lab.factors) == (ReactionSettings(), FactorDefaults())
    assert lab.catalogue.names() == ()
    assert load_lab(str(write("", "music.toml"))).name == "music"


def test_the_papers_settings():
    s = PAPER_SETTINGS
    assert (s.collect_temperature, s.info_nce_temperature) == (1 / 100, 1 / 50)
    assert (s.learning_rate, s.batch_size, s.dr_epochs, s.cr_epochs) == (1e-3, 4096, 5, 20)
    assert (s.hidden_dim, s.holdout) == (2048, 0)
    # Where a lab file is silent, temperatures are the paper's, and the rest goes by the rows.
    free = {"hidden_dim": None, "batch_size": None, "dr_epochs": None, "cr_epochs": None}
    assert ReactionSettings() == replace(s, holdout=0.05, **free)


def test_a_whole_lab_file(tmp_path):
    lab = load(
        """
        [lab]
        name = "music"
        label = "music, draft"
        seed = 7

        [reaction]
        hidden_dim = 64
        learning_rate = 1
        dtype = "float32"

        [factors.lambda]
        other = 0.8
        text = 0.7
        [factors.sigma]
        audio = 1

        [corpora.text]
        world = 100
        [corpora.audio]
        manifest = "data/sounds.jsonl"

        [spaces.Mine]
        adapter = "my_model"
        source = "org/model"
        dim = 12
        modalities = ["text", "audio"]
        revision = "r1"
        licence = "MIT"
        digest = "abc"
        preprocessing = { text = "t-1" }
        hub = "text"
        flops = { audio = 5, text = 2.5 }
        lab = "mini"
        """
    )
    assert (lab.name, lab.label, lab.seed) == ("music", "mini (music, draft)", 7)
    assert lab.settings == ReactionSettings(hidden_dim=64, learning_rate=1.0, dtype="float32")
    assert type(lab.settings.learning_rate) is float  # 1 and 1.0 are different keys
    assert lab.factors.of("dr", "text") == 0.7
    assert lab.factors.of("dr", "image") == 0.8
    assert lab.factors.of("cr", "audio") == 1.0
    assert lab.corpora["text"].world_rows == 100
    (source,) = lab.corpora["audio"].sources
    assert source.manifest == tmp_path / "data/sounds.jsonl"
    spec = lab.catalogue.by_name("Mine")
    assert (spec.name, spec.dim, spec.modalities) == ("Mine", 12, ("audio", "text"))
    assert (spec.adapter, spec.source, spec.revision) == ("my_model", "org/model", "r1")
    assert (spec.licence, spec.weights_digest, spec.hub, spec.lab) == ("MIT", "abc", "text", "mini")
    assert spec.preprocessing == (("text", "t-1"),)
    assert spec.flops_per_item == (("audio", 5.0), ("text", 2.5))


def test_the_least_a_space_needs():
    spec = load(SPACE).catalogue.by_name("Mine")
    assert (spec.revision, spec.licence, spec.weights_digest, spec.lab) == ("", "", "", "")
    assert (spec.hub, spec.preprocessing, spec.flops_per_item) == (None, (), ())


def test_a_source_beside_the_lab_file_is_found_from_anywhere(tmp_path):
    write("weights", "labs/model.bin")
    path = write(SPACE.replace("org/model", "model.bin"), "labs/own.toml")
    assert load_lab(str(path)).catalogue.by_name("Mine").source == str(tmp_path / "labs/model.bin")


def test_weights_without_a_digest_are_distinguished(tmp_path):
    def identity(source: str, revision: str = "") -> object:
        text = SPACE.replace("org/model", source) + f'\nrevision = "{revision}"'
        path = write(text, "labs/own.toml")
        (modality, *_) = (spec := load_lab(str(path)).catalogue.by_name("Mine")).modalities
        return spec.identity(modality)

    write("weights", "labs/a.bin")
    write("others", "labs/b.bin")
    assert identity("a.bin") != identity("b.bin")
    before = identity("a.bin")
    write("trained again", "labs/a.bin")
    assert identity("a.bin") != before
    write("trained again", "labs/moved.bin")
    assert identity("moved.bin") == identity("a.bin")
    # What is not a file here goes by its name and revision.
    assert identity("org/one") != identity("org/two")
    assert identity("org/one", "r1") != identity("org/one", "r2")


def test_a_folder_of_embeddings_is_a_space(tmp_path):
    folder = tmp_path / "labs" / "clap"
    folder.mkdir(parents=True)
    for modality in ("audio", "text"):
        np.save(folder / f"{modality}.npy", np.eye(4, dtype=np.float32))
    path = write('[spaces.CLAP]\npath = "clap"\nhub = "text"', "labs/own.toml")
    spec = load_lab(str(path)).catalogue.by_name("CLAP")
    assert (spec.name, spec.dim, spec.modalities) == ("CLAP", 4, ("audio", "text"))
    assert (spec.adapter, spec.source, spec.hub) == ("precomputed", str(folder), "text")
    uri = load_lab(str(path)).catalogue.by_uri(str(folder))
    assert uri.source == str(folder)
    write('[spaces.CLAP]\npath = "gone"', "labs/own.toml")
    with pytest.raises(MissingError, match="gone"):
        load_lab(str(path)).catalogue.by_name("CLAP")
    write('[spaces.CLAP]\npath = "clap"\nhub = "txt"', "labs/own.toml")
    with pytest.raises(UsageError, match=r"spaces\.CLAP\.hub names 'txt'"):
        load_lab(str(path))


def test_seeds(tmp_path):
    lab = load("[lab]\nseed = 4")
    assert (lab.seed, lab.with_seed(None).seed, lab.with_seed(0).seed) == (4, 4, 0)
    assert load_lab(seed=9).seed == 9
    with pytest.raises(UsageError, match="the seed is -1"):
        load_lab(seed=-1)
