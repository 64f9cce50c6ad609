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
    result = molspace("data", "list")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[2].split("\t")[:4] == ["corpus", "text", "3", "3"]
    body = json.loads(molspace("data", "check", "--json").stdout)
    assert body["schema"] == "molspace.data_check/1"
    assert {"duplicates", "unchecked"} <= {finding["kind"] for finding in body["findings"]}
    assert "duplicates" in molspace("data", "check", "--full").stdout


def test_pairs_of_ones_own(molspace, tmp_path):
    for i in range(3):
        put(tmp_path / f"{i}.wav", sound_bytes(i))
        put(tmp_path / f"{i}.png", image_bytes(i))
    put(tmp_path / "pairs.csv", "wav,jpg\n0.wav,0.png\n1.wav,1.png\n2.wav,9.png\n0.wav,0.png\n")
    (tmp_path / "molspace.toml").write_text(
        '[pairs.mine]\npath = "pairs.csv"\naudio = "wav"\nimage = "jpg"\nmax_bad = 0.5\n'
    )
    result = molspace("data", "list")
    assert result.returncode == 0, result.stderr
    row = "pairs\tmine\t3\t4\t1\t"
    assert row in result.stdout
    assert result.stdout.splitlines()[2].endswith("\taudio & image")
    checked = molspace("data", "check", "--json")
    assert checked.returncode == 0, checked.stderr
    findings = {finding["kind"]: finding for finding in json.loads(checked.stdout)["findings"]}
    assert findings["undecodable"]["count"] == findings["duplicates"]["count"] == 1
    assert "9.png" in findings["undecodable"]["message"]
    assert "molspace data" not in checked.stderr
    (tmp_path / "1.png").unlink()
    (tmp_path / "0.png").unlink()
    checked = molspace("data", "check")
    assert checked.returncode == 4
    assert "4 of 4 pairs cannot be used" in checked.stdout


def test_what_is_missing_is_counted_as_nothing_and_named(molspace, tmp_path):
    result = molspace("data", "list", "--lab", "paper", "--data", str(tmp_path))
    assert result.returncode == 0
    assert "task\tesc50\t0\t2000" in result.stdout
    assert f"there is nothing at '{tmp_path}/corpora/captions.txt'" in result.stdout
    result = molspace("data", "list", "--data", "nowhere")
    assert result.returncode == 3
    assert "no folder of data at 'nowhere'" in result.stderr


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
