"""docs/own-data.md shows how embeddings alone are scored: its code and its commands are run."""

import json
import re
import shlex
from pathlib import Path

import pytest
from in_process import runner

TEXT = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("### Embeddings alone")[2].partition("\n### ")[0]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run commands in a folder with the embeddings of the page."""
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    exec(code, {})
    return runner(monkeypatch, capsys)


def test_its_commands_print_what_the_page_says(run):
    (session,) = re.findall(r"```console\n(.*?)```", SECTION, re.DOTALL)
    for command in session.split("$ molspace ")[1:]:
        line, _, printed = command.partition("\n")
        code, out, err = run(*shlex.split(line))
        assert code == 0, err
        # Digits depend on the machine's products; names, columns and notes do not.
        for expected in printed.splitlines():
            assert without_digits(expected) in without_digits(out + err), expected


def without_digits(text):
    return re.sub(r"\d+", "0", text)


def test_its_lab_file_trains_on_other_rows(run):
    (lab,) = re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)
    Path("molspace.toml").write_text(lab, encoding="utf-8")
    for modality, letter in (("image", "v"), ("audio", "s")):
        lines = [f'{{"id": "{letter}{n:03}", "{modality}": "{n}.jpg"}}\n' for n in range(300)]
        Path(f"{modality}.jsonl").write_text("".join(lines), encoding="utf-8")
    captions = "".join(f"c{n:03}\n" for n in range(300))
    Path("train.csv").write_text("caption_id\n" + captions, encoding="utf-8")
    code, out, err = run("plan", "CLIP + Cr(CLAP)", "--json")
    assert code == 0, err
    assert [row["rows"] + row["held_out"] for row in json.loads(out)["rows"]] == [300] * 3
