import json

import command_line
import pytest
from media_files import image_bytes, put, sound_bytes


@pytest.fixture
def molspace(tmp_path):
    def run(*arguments):
        return command_line.molspace(*arguments, cwd=tmp_path)

    return run


def test_what_a_lab_of_ones_own_has(molspace, tmp_path):
    (tmp_path / "captions.txt").write_text("a dog barks\nrain\na dog barks\n")
    (tmp_path / "molspace.toml").write_text('[corpora.text]\npath = "captions.txt"\n')
    shown = molspace("data", "list")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[2].split("\t")[:4] == ["corpus", "text", "3", "3"]
    body = json.loads(molspace("data", "check", "--json").stdout)
    assert body["schema"] == "molspace.data_check/1"
    assert {"duplicates", "unchecked"} <= {one["kind"] for one in body["findings"]}
    assert "duplicates" in molspace("data", "check", "--full").stdout


def test_pairs_of_ones_own(molspace, tmp_path):
    for i in range(3):
        put(tmp_path / f"{i}.wav", sound_bytes(i))
        put(tmp_path / f"{i}.png", image_bytes(i))
    put(tmp_path / "pairs.csv", "wav,jpg\n0.wav,0.png\n1.wav,1.png\n2.wav,9.png\n0.wav,0.png\n")
    (tmp_path / "molspace.toml").write_text(
        '[pairs.mine]\npath = "pairs.csv"\naudio = "wav"\nimage = "jpg"\nmax_bad = 0.5\n'
    )
    shown = molspace("data", "list")
    assert shown.returncode == 0, shown.stderr
    row = "pairs\tmine\t3\t4\t1\t"
    assert row in shown.stdout
    assert shown.stdout.splitlines()[2].endswith("\taudio & image")
    checked = molspace("data", "check", "--json")
    assert checked.returncode == 0, checked.stderr
    found = {one["kind"]: one for one in json.loads(checked.stdout)["findings"]}
    assert found["undecodable"]["count"] == found["duplicates"]["count"] == 1
    assert "9.png" in found["undecodable"]["message"]
    assert "molspace data" not in checked.stderr
    (tmp_path / "1.png").unlink()
    (tmp_path / "0.png").unlink()
    checked = molspace("data", "check")
    assert checked.returncode == 4
    assert "4 of 4 pairs cannot be used" in checked.stdout


def test_what_is_missing_is_counted_as_nothing_and_named(molspace, tmp_path):
    shown = molspace("data", "list", "--lab", "paper", "--data", str(tmp_path))
    assert shown.returncode == 0
    assert "task\tesc50\t0\t2000" in shown.stdout
    assert f"there is nothing at '{tmp_path}/corpora/captions.txt'" in shown.stdout
    shown = molspace("data", "list", "--data", "nowhere")
    assert shown.returncode == 3
    assert "no folder of data at 'nowhere'" in shown.stderr


def test_one_corpus_that_cannot_be_used_hides_nothing_of_the_others(molspace, tmp_path):
    (tmp_path / "captions.txt").write_text("a dog barks\nrain\na dog barks\n")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(b"")
    (tmp_path / "molspace.toml").write_text(
        '[corpora.text]\npath = "captions.txt"\n[corpora.image]\npath = "photos"\n'
    )
    checked = molspace("data", "check")
    assert checked.returncode == 4
    assert "unusable\t1\t1\t1 of 1 image items cannot be used" in checked.stdout
    assert "duplicates" in checked.stdout
