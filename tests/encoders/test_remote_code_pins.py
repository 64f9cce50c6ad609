"""What a person may name as trusted code: full commits and digests alone."""

import pytest

from reactions.core.errors import UsageError
from reactions.weights.hub import TRUST_VARIABLE, code_digest, trust, trusted, trusts_folder

COMMIT = "c" * 40
DIGEST = "d" * 64


@pytest.mark.parametrize(
    "pin",
    [
        "",
        "1",
        "yes",
        "org/name",
        "org/name@main",
        f"org/name@{COMMIT[:-1]}",
        f"org/name@{COMMIT.upper()}",
        f"@{COMMIT}",
        f"./folder@{COMMIT}",
        "./folder",
        "./folder@sha256:",
        f"./folder@sha256:{DIGEST[:-1]}",
        f"./folder@md5:{DIGEST}",
        f"@sha256:{DIGEST}",
        "ImageBind + Cr(CLAP_m)",
    ],
)
def test_what_pins_nothing_is_refused(pin):
    with pytest.raises(UsageError, match="pins no code") as caught:
        trust([pin])
    assert "@sha256:" in caught.value.fix
    assert not trusted()


def test_pins_add_to_what_the_environment_names(monkeypatch):
    monkeypatch.setenv(TRUST_VARIABLE, f"a/b@{COMMIT}, c/d@{COMMIT}")
    trust([f"e/f@{COMMIT}", f"/a folder, with signs@sha256:{DIGEST}"])
    assert trusted() == [
        f"a/b@{COMMIT}",
        f"c/d@{COMMIT}",
        f"e/f@{COMMIT}",
        f"/a folder, with signs@sha256:{DIGEST}",
    ]


def test_the_digest_of_a_folder_is_of_all_but_weights(tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.py").write_text("x = 1\n")
    first = code_digest(folder)
    (folder / "model.safetensors").write_bytes(b"weights")
    assert code_digest(folder) == first
    digests = {first}
    for name in ("config.json", "sub/more.py", "native.so", "model.py"):
        (folder / name).write_bytes(b"other")
        digests.add(code_digest(folder))
    assert len(digests) == 5
    (folder / "model.py").rename(folder / "renamed.py")
    assert code_digest(folder) not in digests


def test_links_to_other_folders_have_no_digest(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "model" / "code").symlink_to(tmp_path / "code")
    with pytest.raises(OSError, match="link to another folder"):
        code_digest(tmp_path / "model")


def test_a_folder_is_trusted_by_its_place_and_its_digest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.py").write_text("x = 1\n")
    digest = code_digest(tmp_path / "model")
    trust([f"./model@sha256:{digest}"])
    assert trusts_folder(tmp_path / "model", digest)
    assert not trusts_folder(tmp_path / "model", DIGEST)
    assert not trusts_folder(tmp_path / "other", digest)
