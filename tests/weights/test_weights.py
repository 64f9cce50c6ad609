import hashlib
from pathlib import Path

import pytest

from reactions.core import paths
from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.weights import hub, locate
from reactions.weights.locate import WeightLocator, WeightsFile, WeightsRepo, find_file, find_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CLAP = WeightsFile("630k-fusion-best.pt", repo="lukewys/laion_clap")
PLAIN = WeightsFile("model.safetensors", repo="org/name")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in (
        *locate.OFFLINE_VARIABLES,
        paths.WEIGHTS_VARIABLE,
        "HF_HOME",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
    ):
        monkeypatch.delenv(name, raising=False)


def put(path: Path, data: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def put_snapshot(
    hub: Path, repo: str, *names: str, commit: str = COMMIT, ref: str = "main"
) -> Path:
    folder = hub / ("models--" + repo.replace("/", "--"))
    for name in names:
        put(folder / "snapshots" / commit / name)
    put(folder / "refs" / ref, commit.encode())
    return folder / "snapshots" / commit


@pytest.fixture
def locator(tmp_path):
    return WeightLocator(folders=(tmp_path / "mine", tmp_path / "cache"), hub=tmp_path / "hub")


def test_a_file_is_found_in_the_order_promised(locator, tmp_path):
    snapshot = put_snapshot(tmp_path / "hub", CLAP.repo, CLAP.filename)
    assert find_file("CLAP_g", CLAP, locator) == snapshot / CLAP.filename
    cached = put(tmp_path / "cache" / "clap_g" / CLAP.filename)
    assert find_file("CLAP_g", CLAP, locator) == cached
    flat = put(tmp_path / "mine" / CLAP.filename)
    assert find_file("CLAP_g", CLAP, locator) == flat
    own_file = put(tmp_path / "mine" / "clap_g" / CLAP.filename)
    assert find_file("CLAP_g", CLAP, locator) == own_file
    overridden = put(tmp_path / "elsewhere.pt")
    overriding = WeightLocator({"CLAP_g": overridden}, locator.folders, locator.hub)
    assert find_file("CLAP_g", CLAP, overriding) == overridden
    assert find_file("CLAP_m", CLAP, overriding) == flat


def test_an_override_may_be_a_folder_and_is_not_second_guessed(locator, tmp_path):
    put(tmp_path / "mine" / "clap_g" / CLAP.filename)
    put(tmp_path / "given" / CLAP.filename)
    overriding = WeightLocator({"CLAP_g": tmp_path / "given"}, locator.folders, locator.hub)
    assert find_file("CLAP_g", CLAP, overriding) == tmp_path / "given" / CLAP.filename
    overridden = WeightLocator({"CLAP_g": tmp_path / "gone.pt"}, locator.folders, locator.hub)
    with pytest.raises(MissingError) as caught:
        find_file("CLAP_g", CLAP, overridden)
    assert caught.value.fields["looked_in"] == [str(tmp_path / "gone.pt")]
    assert "--weights CLAP_g=PATH" in caught.value.why


def test_a_name_that_many_models_use_is_trusted_only_in_the_spaces_folder(locator, tmp_path):
    put(tmp_path / "mine" / PLAIN.filename)
    with pytest.raises(MissingError):
        find_file("X", PLAIN, locator)
    own_file = put(tmp_path / "mine" / "x" / PLAIN.filename)
    assert find_file("X", PLAIN, locator) == own_file


def test_the_best_form_that_is_there_is_taken(locator, tmp_path):
    forms = (WeightsFile("open_clip_model.safetensors"), WeightsFile("open_clip_pytorch_model.bin"))
    second = put(tmp_path / "cache" / "x" / forms[1].filename)
    assert find_file("X", forms, locator) == second
    first = put(tmp_path / "cache" / "x" / forms[0].filename)
    assert find_file("X", forms, locator) == first


def test_missing_weights_say_where_was_looked_why_and_what_to_do(locator, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(MissingError) as caught:
        find_file("InternVL", CLAP, locator)
    assert caught.value.lines() == [
        "no weights for space 'InternVL'",
        "  looked in: ~/mine/internvl, ~/mine, ~/cache/internvl, ~/cache, "
        "~/hub/models--lukewys--laion_clap",
        "  why: they have not been fetched to this machine",
        "  fix: molspace spaces fetch InternVL   or   --weights InternVL=PATH",
    ]
    offline = WeightLocator(folders=locator.folders, hub=locator.hub, offline="MOLSPACE_OFFLINE=1")
    with pytest.raises(MissingError) as caught:
        find_file("B-32", CLAP, offline, fetch="open_clip:B-32/openai")
    assert caught.value.why == "offline mode is on (MOLSPACE_OFFLINE=1)"
    assert caught.value.fix.startswith('molspace spaces fetch "open_clip:B-32/openai"   or')
    assert caught.value.exit_code == 3


def test_a_file_cut_short_is_reported(locator, tmp_path):
    put(tmp_path / "cache" / "x" / "a.pt", b"12345")
    assert find_file("X", WeightsFile("a.pt", size_bytes=5), locator).name == "a.pt"
    with pytest.raises(DataError, match="5 of 9 bytes"):
        find_file("X", WeightsFile("a.pt", size_bytes=9), locator)


def test_digests_are_held_against_the_published_ones(tmp_path):
    path = put(tmp_path / "a.pt")
    sha = hashlib.sha256(b"weights").hexdigest()
    assert locate.verify("X", WeightsFile("a.pt"), path, DigestCache()) == sha
    assert locate.verify("X", WeightsFile("a.pt", sha256=sha), path, DigestCache()) == sha
    with pytest.raises(DataError, match="not the published ones"):
        locate.verify("X", WeightsFile("a.pt", sha256="0" * 64), path, DigestCache())


def test_snapshots_are_found_by_branch_tag_and_commit(tmp_path):
    cache = tmp_path / "hub"
    assert hub.hub_snapshot("org/name", "", cache) is None
    snapshot = put_snapshot(cache, "org/name", "config.json")
    assert hub.hub_snapshot("org/name", "", cache) == snapshot
    assert hub.hub_snapshot("org/name", "main", cache) == snapshot
    assert hub.hub_snapshot("org/name", COMMIT, cache) == snapshot
    assert hub.hub_snapshot("org/name", "v2", cache) is None
    tagged = put_snapshot(cache, "org/name", "config.json", commit="f" * 40, ref="v2")
    assert hub.hub_snapshot("org/name", "v2", cache) == tagged
    assert hub.commit_of(tagged) == "f" * 40
    assert hub.commit_of(tmp_path) == ""
    for bad in ("../../x", "a..b", "/x", "-x/../.."):
        with pytest.raises(UsageError):
            hub.hub_snapshot("org/name", bad, cache)
    for bad in ("../x", "a/b/c", "", "a/../b"):
        with pytest.raises(UsageError):
            hub.hub_snapshot(bad, "", cache)


def test_snapshots_lie_where_the_hubs_own_package_puts_them(tmp_path):
    hub_package = pytest.importorskip("huggingface_hub")
    snapshot = put_snapshot(tmp_path, "org/name", "config.json")
    actual = hub_package.snapshot_download("org/name", cache_dir=tmp_path, local_files_only=True)
    assert Path(actual) == snapshot == hub.hub_snapshot("org/name", "", tmp_path)


def test_folders_of_repositories(locator, tmp_path):
    repo = WeightsRepo("org/name")
    with pytest.raises(MissingError) as caught:
        find_folder("X", repo, locator)
    assert caught.value.fields["looked_in"][-1].endswith("models--org--name/snapshots/main")
    snapshot = put_snapshot(tmp_path / "hub", "org/name", "config.json")
    assert find_folder("X", repo, locator) == snapshot
    put(tmp_path / "cache" / "x" / "config.json")
    assert find_folder("X", repo, locator) == tmp_path / "cache" / "x"
    # Only the hub's cache knows which revision it holds.
    assert find_folder("X", WeightsRepo("org/name", COMMIT), locator) == snapshot
    with pytest.raises(MissingError):
        find_folder("X", WeightsRepo("org/name", "e" * 40), locator)
    overriding = WeightLocator({"X": tmp_path}, locator.folders, locator.hub)
    assert find_folder("X", WeightsRepo("org/name", "e" * 40), overriding) == tmp_path


def test_the_environment_says_where_to_look(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLSPACE_WEIGHTS", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    actual = WeightLocator.of_environment({"X": tmp_path})
    assert actual.overrides == {"X": tmp_path}
    own_root = tmp_path / "xdg" / "molspace" / "weights"
    assert actual.folders == (tmp_path / "a", tmp_path / "b", own_root)
    assert actual.own_folder("Open CLIP:B/32") == own_root / "open-clip-b-32"
    assert actual.hub == tmp_path / "xdg" / "huggingface" / "hub"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert WeightLocator.of_environment().hub == tmp_path / "home" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert WeightLocator.of_environment().hub == tmp_path / "hub"


@pytest.mark.parametrize("name", locate.OFFLINE_VARIABLES)
def test_offline_is_what_any_of_three_settings_says(name, monkeypatch):
    assert locate.offline() == ""
    monkeypatch.setenv(name, "0")
    assert locate.offline() == ""
    monkeypatch.setenv(name, "true")
    assert locate.offline() == f"{name}=true" == WeightLocator.of_environment().offline


def test_overrides_are_written_name_equals_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate.parse_override("A=b/c=d.pt") == ("A", tmp_path / "b" / "c=d.pt")
    for bad in ("A", "=b", "A=", ""):
        with pytest.raises(UsageError):
            locate.parse_override(bad)


def test_repositories_and_their_revisions():
    assert hub.split_repo("org/name") == ("org/name", "")
    assert hub.split_repo("roberta-base@v1") == ("roberta-base", "v1")
    for bad in ("", "a/b/c", "a/b@", "../a", "a b"):
        with pytest.raises(UsageError):
            hub.split_repo(bad)
    assert hub.is_commit(COMMIT)
    assert not hub.is_commit("main")


def test_the_model_card_tells_the_licence(tmp_path):
    assert hub.licence_of(tmp_path) == ""
    put(tmp_path / "README.md", b"---\ntags:\n- x\nlicense: cc-by-nc-4.0\n---\nlicense: mit\n")
    assert hub.licence_of(tmp_path) == "cc-by-nc-4.0"
    put(tmp_path / "README.md", b"---\ntags: x\n---\nlicense: mit\n")
    assert hub.licence_of(tmp_path) == ""


def test_a_space_without_letters_has_no_folder():
    assert locate.folder_name("ViT-B/32 (openai)") == "vit-b-32-openai"
    with pytest.raises(UsageError):
        locate.folder_name("../..")
