"""``molspace kb build`` and ``describe`` as a person or a script calls them."""

import json
from pathlib import Path

import pytest
from in_process import runner
from kb_builds import build, categories_in
from language_server import LanguageServer, good, good_text, html, status

from reactions.knowledge.files import open_knowledge

pytest.importorskip("openai")
pytest.importorskip("pyarrow")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return categories_in(tmp_path, monkeypatch)


@pytest.fixture
def run(folder, monkeypatch, capsys):
    return runner(monkeypatch, capsys, "kb")


def test_the_path_is_all_that_is_printed_on_stdout(run):
    with LanguageServer() as server:
        code, out, err = run(*build(server))
    assert (code, out) == (0, "animals.parquet\n")
    assert "9 requests to http://127.0.0.1:" in err
    assert "animals.parquet: 36 rows (36 LLM) of 3 categories" in err
    knowledge = open_knowledge(Path("animals.parquet"))
    assert knowledge.categories == ("cat", "dog", "water snake")
    assert [len(knowledge.of_category(name)) for name in knowledge.categories] == [12, 12, 12]
    row = next(knowledge.rows())
    assert (row.id, row.source, row.model) == ("cat/0", "LLM", "tiny-1 fp_1")
    assert row.prompt.startswith("Please generate 4 sentences related to")
    assert row.seed is not None
    assert knowledge.metadata.dataset == "animals"
    assert not Path("animals.parquet.journal").exists()


def test_json_says_what_came_of_it(run):
    with LanguageServer([status(500)]) as server:
        code, out, _ = run(*build(server, "--json", "--price-in", "1", "--price-out", "2"))
    record = json.loads(out)
    assert code == 0
    assert record["schema"] == "molspace.kb_build/1"
    assert record["rows"] == 36
    assert record["complete"] is True
    assert record["troubles"] == {"HTTP 500": 1}
    assert record["cost"] == pytest.approx((9 * 10 + 9 * 20 * 2) / 1e6)


def test_what_is_missing_is_told_and_may_be_asked_for_again(run):
    def refuses(handler, request):
        if "dog" in request["messages"][-1]["content"]:
            return status(400, "no dogs")(handler, request)
        return good(handler, request)

    with LanguageServer(usual=refuses) as server:
        code, out, err = run(*build(server))
        assert (code, out) == (4, "animals.parquet\n")
        assert "warning: 12 descriptions are missing, of 1:" in err
        assert "dog: 12 missing (HTTP 400: no dogs" in err
        n_asked = len(server.requests)
        server.usual = good_text
        code, _, err = run(*build(server))
    assert code == 0
    assert len(server.requests) - n_asked == 3
    assert "6 answered before" in err
    assert len(open_knowledge(Path("animals.parquet"))) == 36
    assert not Path("animals.parquet.journal").exists()


def test_a_file_that_is_there_is_left_alone(run):
    Path("animals.parquet").write_text("mine")
    with LanguageServer() as server:
        code, _, err = run(*build(server))
        assert (code, Path("animals.parquet").read_text()) == (2, "mine")
        assert "fix: --overwrite" in err
        assert not server.requests
        assert run(*build(server, "--overwrite"))[0] == 0


def test_changed_settings_do_not_mix(run):
    with LanguageServer() as server:
        assert run(*build(server, "--max-requests", "3"))[0] == 4
        code, _, err = run(*build(server, temperature=0.5))
        assert code == 2
        assert "generator: openai:tiny" in err
        assert "temperature=0.5" in err
        assert "--restart throws them away" in err
        assert run(*build(server, "--restart", temperature=0.5))[0] == 0


def test_bounds_stop_and_say_how_to_go_on(run):
    with LanguageServer() as server:
        code, out, err = run(*build(server, "--max-requests", "5"))
        assert (code, out) == (4, "")
        assert "stopped at --max-requests 5" in err
        assert "with a larger --max-requests" in err
        assert len(server.requests) == 5
        assert run(*build(server))[0] == 0
        assert len(server.requests) == 9


def test_a_dead_server_is_told_in_a_few_words(run):
    with LanguageServer(usual=html) as server:
        code, _, err = run(*build(server, "--retries", "0"))
    assert code == 4
    assert "gives no usable answers" in err
    assert "captive portal" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["build", "--classes", "animls.txt", "--generator", "mini"], 3, "no file 'animls.txt'"),
        (["build", "--classes", "imagnet", "--generator", "mini"], 2, "did you mean 'imagenet'"),
        (["build", "--classes", "animals.txt", "--generator", "minni"], 2, "did you mean 'mini'"),
        (["build", "--classes", "animals.txt", "--generator", "mini?stra=1"], 2, "'stray'"),
        (["build", "--classes", "animals.txt", "--generator", "mini?stray=101"], 2, "101"),
        (["build", "--clases", "animals.txt", "--generator", "mini"], 2, "--classes"),
        (
            ["build", "--classes", "animals.txt", "--generator", "mini", "--prompts", "unbind"],
            2,
            "did you mean 'unibind'",
        ),
        (
            ["build", "--classes", "animals.txt", "--generator", "mini", "--prompt", "{n} {clas}"],
            2,
            "did you mean 'class'",
        ),
        (
            ["build", "--classes", "animals.txt", "--generator", "mini", "--out", "x.csv"],
            4,
            "--out x.parquet",
        ),
        (
            ["build", "--classes", "animals.txt", "--generator", "mini", "--long", "crop"],
            2,
            "drop",
        ),
        (["build", "--classes", "audio-text", "--generator", "mini"], 2, "audio-text"),
        (["build", "--classes", "clotho", "--generator", "mini"], 2, "has no classes"),
        (["build", "--classes", "animals.txt", "--generator", "mini", "--batch", "0"], 2, "batch"),
        (["describe", "--corpus", "imag", "--generator", "mini"], 2, "did you mean 'image'"),
        (["describe", "--corpus", "world:imag", "--generator", "mini"], 2, "'image'"),
        (["describe", "--corpus", "text", "--generator", "mini"], 2, "one of: audio, depth"),
        (["build", "--classes", "animals.txt", "--generator", "mini"], 2, "no such class"),
        (["build", "--classes", "animals.txt", "--generator", "mini"], 2, "error: 'mini' cannot"),
        (
            ["describe", "--corpus", "text", "--generator", "mini?stray=3"],
            2,
            "error: 'mini?stray=3' cannot",
        ),
        (["describe", "--corpus", "llvip", "--generator", "mini"], 2, "--corpus world:thermal"),
        (
            [
                "build",
                "--classes",
                "esc50",
                "--generator",
                "mini",
                "--out",
                "animals.txt/x.parquet",
            ],
            4,
            "a file has this name",
        ),
        (["descibe", "--corpus", "image", "--generator", "mini"], 2, "describe"),
        (["describe", "--corpus", "image", "--generator", "openai:m?sed=1"], 2, "'seed'"),
    ],
)
def test_a_typo_in_any_argument(run, arguments, code, words):
    actual_code, _, err = run(*arguments)
    assert (actual_code, words in err, "Traceback" in err) == (code, True, False), err
    assert "lab_seed" not in err


def test_classes_that_come_twice_are_refused(run, folder):
    (folder / "animals.txt").write_text("cat\n\n dog\ncat\n")
    code, _, err = run("build", "--classes", "animals.txt", "--generator", "mini")
    assert code == 2
    assert "names 1 classes twice" in err


def test_another_machine_is_not_asked_without_a_word(run):
    code, out, err = run(
        "build",
        *(
            "--classes",
            "animals.txt",
            "--generator",
            "openai:m?base_url=https://example.invalid/v1",
        ),
    )
    assert (code, out) == (2, "")
    assert "nobody can be asked" in err
    assert "fix: --yes" in err
    assert not Path("animals.parquet.journal").exists()


def test_the_mini_world_describes_itself(run):
    code, _, err = run("build", "--classes", "esc50", "--generator", "mini", "--per-class", "20")
    assert code == 0, err
    knowledge = open_knowledge(Path("esc50.parquet"))
    assert {len(knowledge.of_category(name)) for name in knowledge.categories} == {20}
    code, _, err = run("describe", "--corpus", "world:image:30", "--generator", "mini?noun_error=0")
    assert code == 0, err
    items = open_knowledge(Path("world-image-30.parquet")).items("image")
    assert items.ids == [f"kb-items-image/{i}" for i in range(30)]
    assert len(set(items.categories)) > 5


def test_items_are_sent_as_pictures_and_paired_by_id(run):
    with LanguageServer() as server:
        code, _, err = run(
            *("describe", "--corpus", "world:thermal:4", "--pictures", "world:image:9"),
            *("--generator", server.spec(seed=3), "--out", "t.parquet"),
        )
    assert code == 0, err
    assert "that show the same" in err
    assert len(server.requests) == 4
    parts = server.requests[0]["messages"][-1]["content"]
    assert parts[0]["text"] == "Generate a detailed description of this photo"
    assert parts[1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    knowledge = open_knowledge(Path("t.parquet"))
    assert knowledge.items("thermal").ids == [f"kb-items-thermal/{i}" for i in range(4)]
    assert knowledge.metadata.items["thermal"].corpus == "world:thermal:4"


def test_of_an_item_there_may_be_several(run):
    arguments = ("--corpus", "world:depth:6", "--generator", "mini", "--per-item", "3")
    code, _, err = run("describe", *arguments)
    assert code == 0, err
    items = open_knowledge(Path("world-depth-6.parquet")).items("depth")
    assert items.ids == [f"kb-items-depth/{i // 3}" for i in range(18)]
    assert len(set(items.descriptions[:3])) == 3


def test_nothing_is_asked_where_nobody_answers(run):
    code, out, err = run(
        *("build", "--classes", "animals.txt", "--per-class", "1", "--retries", "0"),
        *("--generator", "openai:m?base_url=http://127.0.0.1:1/v1"),
    )
    assert (code, out) == (4, "")
    assert "http://127.0.0.1:1 gives no usable answers" in err
    assert "3 of 3 failed; the last: no connection" in err
    assert not Path("animals.parquet.journal").exists()
