from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from reactions.errors import DataError, MissingError, MolspaceError, UsageError
from reactions.kinds import FactorDefaults
from reactions.labs import lab as module
from reactions.labs.lab import Lab, ReactionSettings
from reactions.labs.reading import find_lab, load_lab
from reactions.registry import Catalogue

SPACE = """
[spaces.Mine]
adapter = "my_model"
source = "org/model"
dim = 12
modalities = ["text", "audio"]
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text, path="molspace.toml"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(text, **options):
    write(text)
    return load_lab(**options)


def refused(text, words, error=UsageError):
    with pytest.raises(error, match=f"(?s){words}") as caught:
        load(text)
    return caught.value


# --- finding ---


def test_without_a_file_it_is_the_mini_lab():
    assert find_lab().name == "mini.toml"
    assert find_lab() == find_lab("mini")
    lab = load_lab()
    assert (lab.name, lab.label, lab.world_tasks) == ("mini", "mini", True)
    assert set(lab.catalogue.names()) == {"ImageBind", "InternVL", "CLAP_g", "CLAP_m"}


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
        "InternVL",
        "CLAP_g",
        "CLAP_m",
        "WAV2CLIP",
        "AudioCLIP",
    )
    assert list(lab.catalogue) == []
    assert lab.settings == ReactionSettings()
    assert lab.corpora["text"].sources[0].paths == (f"{tmp_path}/corpora/captions.txt",)
    assert lab.data.root == tmp_path
    with pytest.raises(MissingError, match="no weights for space 'CLAP_g'"):
        lab.catalogue.by_name("CLAP_g")
    with pytest.raises(MissingError, match=r"captions\.txt"):
        lab.corpus("text")


def test_data_lie_where_the_environment_says(monkeypatch, tmp_path):
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
    with pytest.raises(MissingError, match=r"no lab 'x/y.toml'"):
        load_lab("x/y.toml")


# --- what a lab says ---


def test_an_empty_file_is_a_lab_named_after_its_folder(tmp_path):
    lab = load("")
    assert (lab.name, lab.label) == (tmp_path.name, tmp_path.name)
    assert (lab.seed, lab.world_tasks, dict(lab.corpora)) == (0, False, {})
    assert (lab.settings, lab.factors) == (ReactionSettings(), FactorDefaults())
    assert lab.catalogue.names() == ()
    assert load_lab(str(write("", "music.toml"))).name == "music"


def test_the_papers_settings_are_the_defaults():
    s = ReactionSettings()
    assert (s.collect_temperature, s.info_nce_temperature) == (1 / 100, 1 / 50)
    assert (s.learning_rate, s.batch_size, s.dr_epochs, s.cr_epochs) == (1e-3, 4096, 5, 20)
    assert s.hidden_dim == 2048


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


def test_weights_without_a_digest_are_told_apart(tmp_path):
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
    # What is no file here goes by its name and revision.
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
        load_lab(str(path))


def test_seeds(tmp_path):
    lab = load("[lab]\nseed = 4")
    assert (lab.seed, lab.with_seed(None).seed, lab.with_seed(0).seed) == (4, 4, 0)
    assert load_lab(seed=9).seed == 9
    with pytest.raises(UsageError, match="the seed is -1"):
        load_lab(seed=-1)


# --- extending ---


def test_a_lab_extends_another():
    write(
        """
        [lab]
        seed = 3
        world_tasks = true
        [reaction]
        hidden_dim = 64
        batch_size = 32
        [factors.sigma]
        audio = 0.3
        text = 0.2
        [corpora.text]
        world = 10
        [corpora.image]
        world = 20
        """
        + SPACE,
        "base.toml",
    )
    lab = load(
        """
        [lab]
        extends = "base.toml"
        [reaction]
        batch_size = 16
        [factors.sigma]
        audio = 0.9
        [corpora.text]
        world = 11
        """
        + SPACE.replace("Mine", "Other")
    )
    assert (lab.seed, lab.world_tasks) == (3, True)
    assert lab.settings == ReactionSettings(hidden_dim=64, batch_size=16)
    assert (lab.factors.of("cr", "audio"), lab.factors.of("cr", "text")) == (0.9, 0.2)
    assert {m: c.world_rows for m, c in lab.corpora.items()} == {"text": 11, "image": 20}
    assert lab.catalogue.names() == ("Mine", "Other")


def test_a_space_can_be_replaced():
    write(SPACE, "base.toml")
    lab = load('[lab]\nextends = "base.toml"' + SPACE.replace("12", "13"))
    assert lab.catalogue.by_name("Mine").dim == 13


def test_what_a_lab_extends_lies_beside_it(tmp_path, monkeypatch):
    write("[lab]\nseed = 5", "labs/base.toml")
    path = write('[lab]\nextends = "base.toml"', "labs/own.toml")
    assert load_lab(str(path)).seed == 5
    monkeypatch.chdir("/")
    assert load_lab(str(path.absolute() if path.is_absolute() else tmp_path / path)).seed == 5


def test_paths_of_a_base_stay_its_own(tmp_path):
    write('[corpora.text]\nmanifest = "texts.txt"', "base/molspace.toml")
    lab = load('[lab]\nextends = "base"')
    (source,) = lab.corpora["text"].sources
    assert source.manifest == tmp_path / "base" / "texts.txt"


@pytest.mark.parametrize("links", [["molspace.toml"], ["a.toml", "b.toml", "a.toml"]])
def test_labs_in_a_circle(links):
    names = ["molspace.toml", *links]
    for name, extended in zip(names, links, strict=False):
        write(f'[lab]\nextends = "{extended}"', name)
    with pytest.raises(UsageError, match="in a circle"):
        load_lab()


def test_extending_what_is_not_there():
    words = "lab.extends: no lab 'mimi'.*did you mean 'mini'"
    refused('[lab]\nextends = "mimi"', words, MissingError)
    refused("[lab]\nextends = 3", "lab.extends must be a string, not 3")


# --- labels ---


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("", "mini (own)"),
        ('label = "my results"', "mini (my results)"),
        ('label = "minimal"', "mini (minimal)"),  # no word "mini"
        ('label = "gemini"', "mini (gemini)"),
        ('label = ""', "mini (own)"),
        ('label = "mini, my way"', "mini, my way"),
        ('label = "not just mini"', "not just mini"),
    ],
)
def test_mini_stays_in_the_label(said, label):
    assert load(f'[lab]\nname = "own"\nextends = "mini"\n{said}').label == label


def test_mini_stays_in_the_label_through_several_labs():
    write('[lab]\nname = "first"\nextends = "mini"', "first.toml")
    lab = load('[lab]\nname = "second"\nextends = "first.toml"\nlabel = "published"')
    assert lab.label == "mini (first) (published)"


@pytest.mark.parametrize("said", ["[corpora.text]\nworld = 5", "[lab]\nworld_tasks = true"])
def test_the_mini_world_is_a_rehearsal_in_any_lab(said):
    assert "mini" in load(said).label.split()
    write('[lab]\nlabel = "published"', "base.toml")
    lab = load(f'[lab]\nextends = "base.toml"\n{said.removeprefix("[lab]")}')
    assert lab.label.startswith("mini (published")


def test_other_labs_say_what_they_like():
    assert load('[lab]\nname = "own"\nlabel = "anything"').label == "anything"
    assert load('[lab]\nname = "own"').label == "own"


# --- mistakes ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[lap]", r"unknown key lap.*did you mean 'lab'"),
        ("[lab]\nsed = 1", r"unknown key lab\.sed.*did you mean 'seed'"),
        ("[reaction]\nepochs = 1", r"unknown key reaction\.epochs.*'dr_epochs'"),
        ("[factors]\nsigm = 1", r"unknown key factors\.sigm.*'sigma'"),
        ("[corpora.text]\nmanifst = 'x'", r"unknown key corpora\.text\.manifst.*'manifest'"),
        (SPACE + "dims = 3", r"unknown key spaces\.Mine\.dims.*'dim'"),
        ("[spaces.X]\npath = 'x'\ndim = 3", r"unknown key spaces\.X\.dim"),
    ],
)
def test_unknown_keys_get_a_suggestion(text, words):
    assert str(Path("molspace.toml").absolute()) in refused(text, words).what


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lab = 1", "'lab' is no table"),
        ("reaction = []", "'reaction' is no table"),
        ("factors = 1", "'factors' is no table"),
        ("spaces = 1", "'spaces' is no table"),
        ("[spaces]\nX = 1", r"spaces\.X is no table"),
        ("corpora = 1", "'corpora' is no table"),
        ("[corpora]\ntext = 'x'", r"'corpora\.text' is no table"),
        ("[factors]\nsigma = 0.5", "'sigma' is no table"),
        ("[lab]\nname = 1", r"lab\.name must be a string, not 1"),
        ("[lab]\nlabel = true", r"lab\.label must be a string"),
        ("[lab]\nseed = '1'", r"lab\.seed must be a whole number, not '1'"),
        ("[lab]\nseed = 1.5", r"lab\.seed must be a whole number"),
        ("[lab]\nseed = true", r"lab\.seed must be a whole number"),
        ("[lab]\nseed = -1", "the seed is -1"),
        ("[lab]\nworld_tasks = 'no'", r"lab\.world_tasks must be true or false, not 'no'"),
        ("[reaction]\nhidden_dim = 1.5", r"reaction\.hidden_dim must be a whole number"),
        ("[reaction]\nhidden_dim = true", r"reaction\.hidden_dim must be a whole number"),
        ("[reaction]\nlearning_rate = '1'", r"reaction\.learning_rate must be a number"),
        ("[reaction]\nhidden_dim = 0", r"reaction\.hidden_dim is 0.*above 0"),
        ("[reaction]\nlearning_rate = -1.0", r"reaction\.learning_rate is -1"),
        ("[reaction]\nlearning_rate = nan", r"reaction\.learning_rate is nan"),
        ("[reaction]\nlearning_rate = inf", r"reaction\.learning_rate is inf"),
        ("[reaction]\nbatch_size = 1", r"reaction\.batch_size is 1"),
        (
            "[reaction]\ndtype = 'bfloat16'",
            r"reaction\.dtype is 'bfloat16'.*'float16' or 'float32'",
        ),
        ("[factors.sigma]\naudio = 1.5", r"factors\.sigma\.audio must be 0 to 1, not 1.5"),
        ("[factors.lambda]\nother = -0.1", r"factors\.lambda\.other must be 0 to 1"),
        ("[factors.sigma]\naudio = nan", "must be 0 to 1, not nan"),
        ("[factors.sigma]\naudio = true", r"factors\.sigma\.audio must be a number, not True"),
        ("[factors.sigma]\naudio = 'x'", r"factors\.sigma\.audio must be a number"),
        ("[corpora.text]", r"corpora\.text needs either world, manifest or path"),
        ("[corpora.text]\nworld = 1\nmanifest = 'x'", "takes nothing beside world"),
        ("[corpora.text]\npath = 'x'\nmanifest = 'x'", "needs either world, manifest or path"),
        ("[corpora.text]\nmax_bad = 0.1", "needs either world, manifest or path"),
        ("[corpora.text]\npath = ''", r"corpora\.text\.path is empty"),
        ("[corpora.text]\npath = ['a', 3]", r"corpora\.text\.path must be a string, not 3"),
        ("[corpora.text]\npath = 'x'\nmax_bad = 2", r"max_bad must be a share from 0 to 1"),
        ("[corpora.text]\npath = 'x'\nmax_bad = true", r"max_bad must be a number, not True"),
        ("[corpora.text]\npath = 'x'\ncheck = 'ful'", r"check is 'ful'.*did you mean 'full'"),
        ("[corpora.text]\npath = 'x'\ncolum = 'y'", r"corpora\.text\.colum.*'column'"),
        ("[corpora.text]\nmanifest = 'x'\ncolumn = 'y'", r"column goes with path"),
        ("[corpora.text]\npath = 'x'\nskip = [1]", r"skip must be a string, not 1"),
        ("[corpora]\ntext = []", r"corpora\.text is an empty list"),
        ("[[corpora.text]]\nworld = 3", r"corpora\.text\[0\] needs either"),
        ("[[corpora.text]]\npath = 'x'\n[[corpora.text]]\npat = 'x'", r"corpora\.text\[1\]\.pat"),
        ("[data]\nrot = 'x'", r"unknown key data\.rot.*'root'"),
        ("[data]\nroot = 3", r"data\.root must be a string"),
        ("[data.esc5]\npath = 'x'", r"unknown key data\.esc5.*'esc50'"),
        ("[data.esc50]", r"data\.esc50\.path is missing"),
        ("[data]\nesc50 = 'x'", r"'data\.esc50' is no table"),
        ("[data.esc50]\nfolder = 'x'", r"unknown key data\.esc50\.folder"),
        ("[corpora.text]\nworld = 'all'", r"corpora\.text\.world must be a whole number"),
        ("[corpora.text]\nmanifest = 3", r"corpora\.text\.manifest must be a string"),
        (SPACE.replace("12", "'12'"), r"spaces\.Mine\.dim must be a whole number"),
        (SPACE.replace("12", "0"), r"spaces\.Mine needs a dim above 0"),
        (SPACE.replace('["text", "audio"]', '"audio"'), r"modalities must be a list, not 'audio'"),
        (SPACE.replace('["text", "audio"]', "[1]"), r"modalities must be a string, not 1"),
        (SPACE.replace('["text", "audio"]', "[]"), "at least one modality"),
        (SPACE.replace("dim = 12", ""), r"spaces\.Mine\.dim is missing.*path"),
        (SPACE + "preprocessing = 'x'", r"spaces\.Mine\.preprocessing must be a table"),
        (SPACE + "preprocessing = {text = 1}", r"preprocessing\.text must be a string"),
        (SPACE + "flops = {text = 'x'}", r"flops\.text must be a number"),
        (SPACE + "hub = 'image'", r"hub names 'image', which is none of its modalities"),
        (SPACE + "preprocessing = {txt = 'x'}", r"names 'txt'.*did you mean 'text'"),
        (SPACE + "hub = 1", r"spaces\.Mine\.hub must be a string"),
        ("[spaces.X]\npath = 1", r"spaces\.X\.path must be a string"),
        ("[lab", "is no valid TOML"),
        ("x = " + "[" * 5000, "is no valid TOML"),
    ],
)
def test_wrong_values_are_told(text, words):
    refused(text, words)


def test_messages_name_the_file():
    for text in ("[lab]\nseed = 'x'", "[reaction]\nhidden_dim = 0", "[lab", SPACE + "hub = 'x'"):
        assert str(Path("molspace.toml").absolute()) in refused(text, "").what


def test_a_file_that_is_no_text():
    Path("molspace.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is no valid TOML"):
        load_lab()


def test_a_file_that_cannot_be_read(monkeypatch):
    write("")

    def refuse(self, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(DataError, match=r"(?s)cannot read.*Permission denied"):
        load_lab()


def test_an_empty_world_is_an_empty_corpus():
    refused("[corpora.text]\nworld = 0", "the text corpus is empty", DataError)


# --- data ---


def test_corpora_from_all_kinds_of_places(tmp_path):
    lab = load(
        """
        [corpora.text]
        path = ["captions.txt", "s3://bucket/*.parquet"]
        column = "caption"
        id = "key"
        skip = ["a", "b"]
        max_bad = 0
        [corpora.image]
        path = "/photos"
        check = "full"
        [[corpora.audio]]
        path = "s-{0..9}.tar"
        member = "Left.WAV"
        [[corpora.audio]]
        manifest = "more.jsonl"
        max_bad = 1
        """
    )
    (text,) = lab.corpora["text"].sources
    assert text.paths == (f"{tmp_path}/captions.txt", "s3://bucket/*.parquet")
    assert (text.columns, text.id_column, text.max_bad) == (("caption",), "key", 0.0)
    assert text.skip == {"a", "b"}
    (image,) = lab.corpora["image"].sources
    assert (image.paths, image.check, image.max_bad) == (("/photos",), "full", 0.01)
    shards, manifest = lab.corpora["audio"].sources
    assert (shards.paths, shards.member) == ((f"{tmp_path}/s-{{0..9}}.tar",), "left.wav")
    assert (manifest.paths, manifest.max_bad) == ((), 1.0)
    assert manifest.manifest == tmp_path / "more.jsonl"


def test_folders_of_evaluation_sets(tmp_path):
    write('[data]\nroot = "sets"\n[data.coco]\npath = "coco"\n[data.esc50]\npath = "e"', "b/x.toml")
    lab = load('[lab]\nextends = "b/x.toml"\n[data.coco]\npath = "/coco"')
    assert lab.data.of("coco") == (Path("/coco"), tmp_path / "b/sets")
    assert lab.data.of("esc50") == (tmp_path / "b/e", tmp_path / "b/sets")
    assert lab.data.of("clotho") == (tmp_path / "b/sets",)
    (tmp_path / "chosen").mkdir()
    lab = load_lab(data=Path("chosen"))
    assert lab.data.of("coco") == (tmp_path / "chosen", Path("/coco"), tmp_path / "b/sets")
    assert load("").data.of("coco") == ()
    with pytest.raises(MissingError, match="no folder of data at 'gone'"):
        load_lab(data=Path("gone"))


def test_scans_are_remembered_beside_the_digests(tmp_path):
    from reactions.data.digests import DigestCache

    write("")
    assert load_lab(digests=DigestCache(tmp_path / "c")).tables.folder == tmp_path / "c/corpora"
    assert load_lab().tables.folder == tmp_path / "cache/corpora"  # the user's, of this test
    assert load_lab(digests=DigestCache()).tables.folder is None


# --- what a lab gives ---


def test_corpora_from_manifests(tmp_path):
    lab = load('[corpora.text]\nmanifest = "texts.txt"')
    assert lab.corpus("audio") is None
    with pytest.raises(MissingError, match="no manifest for the text corpus") as caught:
        lab.corpus("text")
    assert str(tmp_path / "texts.txt") in caught.value.why
    assert "[corpora.text]" in caught.value.fix
    (tmp_path / "texts.txt").write_text("rain\nwind\n")
    corpus = lab.corpus("text")
    assert [item.value for item in corpus.items(0, 2)] == ["rain", "wind"]
    (tmp_path / "texts.txt").write_text("\n")
    with pytest.raises(DataError, match="is empty"):
        lab.corpus("text")


def test_corpora_of_the_world_follow_the_seed():
    lab = load("[corpora.text]\nworld = 5")
    assert len(lab.corpus("text")) == 5
    assert lab.corpus("text").digest == load_lab().corpus("text").digest
    assert lab.corpus("text").digest != lab.with_seed(1).corpus("text").digest


def test_evaluation_sets_come_with_the_mini_lab():
    lab = load("")
    assert lab.sample_items() == []
    with pytest.raises(MissingError, match="has no data for task 'esc50'") as caught:
        lab.benchmark("esc50")
    assert "--lab mini" in caught.value.fix
    assert "[data.esc50]" in caught.value.fix


def test_uris_go_to_the_adapters():
    with pytest.raises(MissingError, match="cannot open the space"):
        load("").catalogue.by_uri("gone/folder")


def test_settings_of_the_mini_lab_are_scaled_down():
    lab = load_lab("mini")
    given = {entry.name: getattr(lab.settings, entry.name) for entry in fields(lab.settings)}
    assert given["collect_temperature"] == 1 / 100
    assert given["info_nce_temperature"] == 1 / 50
    assert given["hidden_dim"] < 2048


def test_a_lab_built_in_python():
    lab = Lab("x", "x", Path("x"), 0, Catalogue({}))
    assert lab.settings == module.ReactionSettings()
    with pytest.raises(UsageError, match="the seed is -2"):
        Lab("x", "x", Path("x"), -2, Catalogue({}))
