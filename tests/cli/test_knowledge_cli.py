"""``molspace kb`` show, check, merge, import and export."""

import json

import pytest
from command_line import molspace
from knowledge_rows import METADATA, ROWS
from media_files import image_bytes, put

from reactions.knowledge.base import Description
from reactions.knowledge.files import open_knowledge, write_knowledge

TRAIN = [
    {"data": "1.png", "label": "dog", "description": "a dog"},
    {"data": "2.png", "label": "cat", "description": "a cat"},
]


@pytest.fixture
def kb(tmp_path):
    def run(*arguments):
        return molspace("kb", *arguments, cwd=tmp_path)

    return run


@pytest.fixture
def pets(tmp_path):
    write_knowledge(tmp_path / "pets.parquet", ROWS, METADATA)
    lab = '[lab]\nname = "own"\n[kb.pets]\npath = "pets.parquet"\n[kb.gone]\npath = "x.parquet"\n'
    (tmp_path / "molspace.toml").write_text(lab, encoding="utf-8")


def lines(text):
    return [line.split("\t") for line in text.splitlines()]


def refused(result, words, rc=2):
    assert result.returncode == rc, result.stdout + result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


# --- show ---


def test_those_of_the_mini_lab(kb):
    result = kb("show", "--lab", "mini")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("# lab: mini\n")
    rows = {line[0]: line for line in lines(result.stdout)[2:]}
    assert {"kb", "open"} <= set(rows)
    assert rows["kb"][4] == "the mini world"
    body = json.loads(kb("show", "--lab", "mini", "--json").stdout)
    assert body["schema"] == "molspace.kb_list/1"
    assert [entry["name"] for entry in body["knowledge_bases"]] == ["kb", "open"]


def test_those_of_ones_own_lab(kb, pets):
    result = kb("show")
    assert result.returncode == 0, result.stderr
    assert "pets\t8\t2\taudio, image\t" in result.stdout
    assert "# gone: there is no knowledge base at" in result.stdout
    refused(kb("show", "--category", "dog"), "--category goes with a knowledge base")


def test_counts_and_examples(kb, pets):
    result = kb("show", "pets", "--category", "cat", "-n", "3")
    assert result.returncode == 0, result.stderr
    for row in (
        ["source", "LLM", "3"],
        ["modality", "(categories)", "5"],
        ["modality", "image", "2"],
        ["model", "m", "1"],
        ["model", "(not named)", "7"],
        ["prompt", "p", "1"],
        ["dog", "2", "1", "1"],
        ["cat", "2", "0", "2"],
        ["x.png", "image", "something furry"],
    ):
        assert row in lines(result.stdout), row
    assert "# data set: pets; token limit 77" in result.stdout
    assert "# left out when it was made: 2 refused" in result.stdout
    assert "1 of 8 rows have no description" in result.stdout
    body = json.loads(kb("show", "pets.parquet", "--json").stdout)
    assert body["schema"] == "molspace.kb/1"
    assert body["metadata"]["models"] == [{"name": "m", "revision": "1", "licence": "MIT"}]
    assert (body["n_rows"], body["sources"]["MLLM"]) == (8, 3)
    assert body["categories"][0] == {
        "category": "dog",
        "descriptions": 2,
        "names": 1,
        "items": {"audio": 1},
    }


def test_slips(kb, pets):
    refused(kb("show", "pest"), "did you mean 'pets'?")
    refused(kb("show", "pets", "--category", "dgo"), "did you mean 'dog'?", rc=2)
    refused(kb("show", "other.parquet"), "there is no knowledge base at 'other.parquet'", rc=3)
    refused(kb("shwo", "pets"), "did you mean 'show'?")
    refused(kb("check", "pets", "--stritc"), "did you mean '--strict'?")


def test_text_of_others_moves_no_cursor(kb, tmp_path):
    rows = [Description("a", "dog\x1b[2J", "red\x1b[31m\n# not a note", "LLM")]
    write_knowledge(tmp_path / "x.parquet", rows, METADATA)
    for command in ("show", "check", "export"):
        result = kb(command, "x.parquet", "--lab", "mini")
        assert result.returncode == 0, result.stderr
        assert "\x1b" not in result.stdout + result.stderr
        assert "\n# not a note" not in result.stdout


# --- check ---


def test_findings(kb, pets):
    checked = kb("check", "pets", "--least", "2")
    assert checked.returncode == 0, checked.stderr
    rows = {line[0]: line for line in lines(checked.stdout) if len(line) == 4}
    assert rows["blank"][1:3] == ["1", "8"]
    assert rows["few rows"][1:3] == ["1", "2"]
    assert "# few rows: category cat, rows 1" in checked.stdout
    assert "length and diversity" in checked.stdout
    assert "1 of 8 rows have no description" in checked.stdout
    strict = kb("check", "pets", "--strict", "--json")
    assert strict.returncode == 4
    body = json.loads(strict.stdout)
    assert body["schema"] == "molspace.kb_check/1"
    assert {finding["kind"] for finding in body["findings"]} == {"blank", "few rows"}
    assert all(finding["is_fault"] for finding in body["findings"])


def test_nothing_is_wrong(kb, tmp_path):
    rows = [Description(str(i), "dog", f"dog number {i}", "LLM") for i in range(50)]
    write_knowledge(tmp_path / "x.parquet", rows, METADATA)
    checked = kb("check", "x.parquet", "--strict", "--lab", "mini")
    assert checked.returncode == 0, checked.stdout
    assert "50 rows, 0 findings" in checked.stdout


def test_the_classes_of_a_task(kb, tmp_path):
    rows = [Description("1", "dog", "a dog", "LLM"), Description("2", "zebra", "a cat", "LLM")]
    write_knowledge(tmp_path / "x.parquet", rows, METADATA)
    checked = kb(
        "check", "x.parquet", "--lab", "mini", "--classes", "esc50", "--least", "1", "--json"
    )
    findings = {f["kind"]: f for f in json.loads(checked.stdout)["findings"]}
    assert (findings["missing"]["count"], findings["missing"]["total"]) == (49, 50)
    assert list(findings) == ["missing"]
    refused(kb("check", "kb", "--lab", "mini", "--classes", "esc5"), "did you mean 'esc50'?")
    refused(kb("check", "kb", "--lab", "mini", "--classes", "coco"), "has no classes")
    refused(kb("check", "kb", "--lab", "mini", "--classes", "esc50,imagenet"), "is 2 tasks")


# --- merge ---


def test_two_as_one(kb, pets, tmp_path):
    more_rows = [Description("dog/0", "dog", "a puppy", "LLM"), ROWS[1]]
    write_knowledge(tmp_path / "more.parquet", more_rows, METADATA)
    merged = kb("merge", "pets", "more.parquet", "--out", "both.parquet")
    assert merged.returncode == 0, merged.stderr
    assert merged.stdout == "both.parquet\n"
    for words in ("9 rows", "letter for letter, kept once: 1", "as theirs was taken: 1"):
        assert words in merged.stderr, words
    assert len(open_knowledge(tmp_path / "both.parquet")) == 9
    command = ("merge", "pets", "more.parquet", "--out", "both.parquet")
    refused(kb(*command), "both.parquet is there already")
    body = json.loads(kb(*command, "--overwrite", "--json").stdout)
    assert (body["rows"], body["same"], body["renamed"], body["shared_categories"]) == (9, 1, 1, 1)
    assert body["digest"] == open_knowledge(tmp_path / "both.parquet").digest


def test_what_does_not_go_together(kb, pets, tmp_path):
    row = Description("x.png", "dog", "a dog", "MLLM", "image")
    write_knowledge(tmp_path / "more.parquet", [row], METADATA)
    result = kb("merge", "pets", "more.parquet", "--out", "both.parquet")
    refused(result, "'x.png' is 'cat' and 'dog'", rc=4)
    refused(kb("merge", "pets", "--out", "both.parquet"), "nothing to merge")
    refused(kb("merge", "pets", "pets", "--out", "both.csv"), "cannot tell the format")
    assert not (tmp_path / "both.parquet").exists()


# --- import ---


def test_a_table(kb, tmp_path):
    text = "ID,Category,Description,Source\n1,dog,a dog,GPT-4\n2,cat,,GPT-4\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    refused(kb("import", "table", "a.csv", "--out", "a.parquet"), ": --source LLM", rc=4)
    result = kb("import", "table", "a.csv", "--out", "a.parquet", "--source", "LLM")
    assert (result.returncode, result.stdout) == (0, "a.parquet\n"), result.stderr
    assert "1 row (1 LLM) of 1 category" in result.stderr
    assert "note: 'a.csv': entries left out: 1 of 2, for a blank description" in result.stderr
    table = open_knowledge(tmp_path / "a.parquet")
    assert table.metadata.dropped == {"blank": 1}
    assert table.metadata.models[0].name == "GPT-4"
    assert (
        kb("import", "table", "a.csv", "--out", "b.parquet", "--source", "LLM", "-q").stderr == ""
    )


def test_released_json(kb, tmp_path):
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "train_data.json").write_text(json.dumps(TRAIN), encoding="utf-8")
    refused(kb("import", "unibind", "pets", "--out", "a.parquet"), "--modality image")
    slip = kb("import", "unibind", "pets", "--out", "a.parquet", "--modality", "imgae")
    refused(slip, "did you mean 'image'?")
    result = kb("import", "unibind", "pets", "--out", "a.parquet", "--modality", "event", "--json")
    body = json.loads(result.stdout)
    assert (body["rows"], body["sources"], body["modalities"]) == (2, {"MLLM": 2}, ["event"])
    assert "nothing says which event items are described" in body["remarks"][0]
    assert open_knowledge(tmp_path / "a.parquet").metadata.dataset == "pets"


def test_the_items_of_a_corpus(kb, tmp_path):
    for i in (1, 2, 3):
        put(tmp_path / "train_dataset" / f"{i}.png", image_bytes(i))
    lab = '[lab]\nname = "own"\n[corpora.image]\npath = "train_dataset"\n'
    (tmp_path / "molspace.toml").write_text(lab, encoding="utf-8")
    (tmp_path / "train_data.json").write_text(json.dumps(TRAIN), encoding="utf-8")
    command = ("import", "unibind", "train_data.json", "--modality", "image", "--corpus")
    result = kb(*command, "image", "--out", "a.parquet")
    assert result.returncode == 0, result.stderr
    assert "nothing says" not in result.stderr
    items = open_knowledge(tmp_path / "a.parquet").metadata.items
    assert (items["image"].corpus, len(items["image"].digest)) == ("image", 64)
    refused(kb(*command, "imgae", "--out", "b.parquet"), "did you mean 'image'")
    entries = [{**entry, "data": f"x{entry['data']}"} for entry in TRAIN]
    (tmp_path / "train_data.json").write_text(json.dumps(entries), encoding="utf-8")
    result = kb(*command, "image", "--out", "b.parquet")
    refused(result, "corpus 'image' has none of the 2 described items", rc=4)


def test_slips_of_import(kb):
    refused(kb("import", "tabel", "a.csv"), "did you mean 'table'?")
    refused(kb("import", "table", "a.csv", "--out", "a.parquet"), "there is nothing at", rc=3)
    refused(kb("import", "table", "a.csv", "--out", "a.csv"), "--out a.parquet")
    refused(kb("import", "table", "a.csv"), "--out")


def test_centres_take_no_options_of_descriptions(kb):
    result = kb("import", "unibind", "c.pkl", "--out", "c.safetensors", "--token-limit", "60")
    refused(result, "--token-limit goes with descriptions, not with centres")


# --- export ---


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_there_and_back(kb, pets, tmp_path, suffix):
    result = kb("export", "pets", "--out", f"out.{suffix}")
    assert (result.returncode, result.stdout) == (0, f"out.{suffix}\n"), result.stderr
    assert ("prompts, models and the items' corpora are not in it" in result.stderr) == (
        suffix != "parquet"
    )
    back = kb("import", "table", f"out.{suffix}", "--out", "back.parquet")
    assert back.returncode == 0, back.stderr
    rows = list(open_knowledge(tmp_path / "back.parquet").rows())
    assert rows == [row for row in ROWS if row.description]
    refused(kb("export", "pets", "--out", f"out.{suffix}"), "is there already")


def test_rows_in_a_pipe(kb, pets):
    result = kb("export", "pets")
    assert result.returncode == 0, result.stderr
    assert "1 of 8 rows have no description" in result.stderr
    assert kb("export", "pets", "-q").stderr == ""
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(records) == len(ROWS)
    assert records[0] == {
        "id": "dog/0",
        "category": "dog",
        "description": "a dog in the rain",
        "source": "LLM",
        "model": "m",
        "prompt": "p",
        "seed": 3,
    }
    refused(kb("export", "pets", "--json"), "--json goes with --out")
    refused(kb("export", "pets", "--out", "x.xlsx"), "cannot tell the format")


def test_an_empty_name_and_files_of_other_kinds_are_refused_with_what_helps(kb, tmp_path):
    refused(kb("show", ""), "the name of the knowledge base is empty")
    for name, helps in (("a.jpg", "molspace kb show"), ("a.csv", "molspace kb import table a.csv")):
        (tmp_path / name).write_bytes(b"x")
        refused(kb("show", f"./{name}"), f"fix: {helps}" if name == "a.csv" else helps, rc=4)
    assert "import table" not in kb("show", "./a.jpg").stderr
    (tmp_path / "folder").mkdir()
    refused(kb("show", "./folder"), "fix: name a file in it", rc=4)
