"""A mistyped or unknown path is never embedded as a text, unless somebody says that it is one."""

import json

import pytest
from in_process import runner
from media_files import put, put_tar, sound_bytes


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    infer = ("infer", "--space", "CLAP_g", "--lab", "mini", "--format", "jsonl")
    molspace = runner(monkeypatch, capsys, *infer)

    def run(*arguments: str, stdin: bytes = b"", code: int = 0) -> tuple[list[dict], str]:
        ended, out, err = molspace(*arguments, stdin=stdin)
        assert ended == code, err
        return [json.loads(line) for line in out.splitlines()], err

    return run


@pytest.mark.parametrize("suffix", ["amr", "feather", "xml", "heic", "npz", "jxl", "wxyz"])
@pytest.mark.parametrize("exists", [False, True])
def test_arguments_that_look_like_files(run, tmp_path, suffix, exists):
    if exists:
        (tmp_path / f"missing.{suffix}").write_bytes(b"x")
    out, err = run("a dog", f"missing.{suffix}", code=2)
    assert out == []
    reason = "cannot be embedded" if exists else "is not taken for a text"
    assert f"error: 'missing.{suffix}' {reason}" in err
    assert "--text" in err
    out, _ = run("--text", "a dog", f"missing.{suffix}")
    assert [(row["id"], row["modality"]) for row in out] == [
        ("a dog", "text"),
        (f"missing.{suffix}", "text"),
    ]


@pytest.mark.parametrize(
    "argument",
    ["none.jsonl", "none.txt", "none.tar", "none.parquet", "~/x", "/dev/zero"],
)
def test_arguments_that_lead_nowhere(run, tmp_path, argument):
    out, err = run("a dog", argument, "other.m4a", code=2)
    assert out == []
    assert f"error: '{argument}' is not taken for a text, nor is 1 more" in err


@pytest.mark.parametrize("number", ["0.1", ".5", "0.1,0.2", "0.1,1"])
def test_a_factor_after_a_blank_is_no_text(run, tmp_path, number):
    _, err = run(number, code=2)
    assert f"error: '{number}' is not taken for a text" in err
    assert "--sigma 0.5,0.1" in err
    out, _ = run("--text", number)
    assert [row["id"] for row in out] == [number]


@pytest.mark.parametrize("text", ["7", "1984", "0.5 litres", "v1.2", "1.2.3"])
def test_other_numbers_are_texts(run, tmp_path, text):
    out, _ = run(text)
    assert [row["modality"] for row in out] == ["text"]


def test_tars_tables_and_patterns(run, tmp_path):
    put_tar(tmp_path / "s.tar", {"k.wav": sound_bytes(), "k.txt": "rain", "k.cls": "1"})
    put(tmp_path / "sub/b.wav", sound_bytes(1))
    put(tmp_path / "sub/notes.md", "x")
    out, err = run("s.tar", "sub/*")
    assert [(row["id"], row["modality"]) for row in out] == [
        ("k", "audio"),
        ("k", "text"),
        ("sub/b.wav", "audio"),
    ]
    assert "note: sub/* matches 1 file; left out: 1 .md\n" in err
    assert "note: s.tar holds 1 sample: 1 audio, 1 text; left out: 1 .cls\n" in err
    out, err = run("--text", "s.tar", "sub/*")
    assert [row["modality"] for row in out] == ["text", "text"]
    out, err = run("sub/*.png", code=2)
    assert out == []
    assert "error: no file matches 'sub/*.png'" in err
    put(tmp_path / "x.parquet", b"x")
    _, err = run("x.parquet", code=4)
    assert "error: cannot read items from" in err


def test_a_folder_is_its_media_and_an_empty_one_is_refused(run, tmp_path):
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "notes.doc").write_bytes(b"x")
    out, err = run("a dog", "sub", code=2)
    assert out == []
    assert "error: the folder 'sub' holds no media\n  why: 1 .doc\n" in err
    assert "--text" in err
    for name in ("b.wav", "deep/a.wav"):
        put(tmp_path / "sub" / name, sound_bytes())
    out, err = run("sub")
    assert [row["id"] for row in out] == ["sub/b.wav", "sub/deep/a.wav"]
    assert "note: sub is a folder, of 2 media files; left out: 1 .doc" in err
    _, err = run("sub", "--modality", "audioo", code=2)
    assert "did you mean 'audio'?" in err
    _, err = run("sub", "--modality", "image", code=2)
    assert "error: the folder 'sub' holds no image\n  why: 2 .wav, 1 .doc\n" in err
    out, err = run("--text", "sub")
    assert [row["modality"] for row in out] == ["text"]
    assert "note: 'sub' is embedded as a text, and what the folder of this name holds is" in err


def test_a_file_whose_name_is_taken_for_a_text_is_named(run, tmp_path):
    (tmp_path / "captions.txt").write_text("a dog\n")
    out, err = run("--text", "captions.txt", "a dog")
    assert [row["id"] for row in out] == ["captions.txt", "a dog"]
    assert "note: 'captions.txt' is embedded as a text, and what the file of this name" in err
    assert "holds is not read; its lines as texts: --text < FILE" in err
    assert "'a dog'" not in err


def test_what_is_there_is_refused_with_what_helps(run, tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"x")
    _, err = run("IMG_1.HEIC", code=2)
    assert "why: a HEIF image is not decoded here\n  fix: convert it to PNG or JPEG; " in err
    assert "correct the path" not in err
    (tmp_path / "a.xml").write_bytes(b"x")
    assert "why: lines are read from .jsonl, .ndjson, .txt files alone" in run("a.xml", code=2)[1]
    (tmp_path / "a.csv").write_bytes(b"x\ny\n")
    _, err = run("a.csv", code=2)
    assert "why: its columns: x; the space embeds" in err
    assert "fix: say what they hold: --columns MODALITY=COLUMN" in err
    _, err = run("a.xml", "--columns", "image=x", code=2)
    assert "why: no table is among the inputs" in err


def test_tables_that_say_what_they_hold(run, tmp_path):
    put(tmp_path / "s" / "a.wav", sound_bytes())
    put(tmp_path / "s" / "t.csv", "key,clip,said\nx,a.wav,rain\ny,b.wav,wind\n")
    columns = ("--columns", "audio=clip", "--columns", "text=said", "--id", "key")
    out, err = run("s/t.csv", *columns, code=4)
    assert [(row["id"], row["modality"]) for row in out] == [
        *(("x", "audio"), ("x", "text"), ("y", "text"))
    ]
    assert "note: s/t.csv holds 1 audio (column 'clip'), 2 text (column 'said')" in err
    assert "skipped 1 of 4: first: there is no file" in err
    assert len(run("s/t.csv", *columns, "--where", "key=x")[0]) == 2


def test_lines_are_left_out_and_counted(run):
    stdin = b'clip.amr\na dog.\nand/or\nsounds/rain\n{"text": "clip.m4a"}\nMr. Smith\n'
    out, err = run(stdin=stdin, code=4)
    assert [row["id"] for row in out] == ["2", "3", "5", "6"]
    assert "skipped line 1: it ends as a file's name does (.amr); a sound of a format that" in err
    assert "skipped line 4: it holds a path's separator" in err
    assert "skipped 2 of 6" in err
    assert "fix: correct the paths; or say that they are texts: --text" in err
    out, _ = run("--text", stdin=stdin)
    assert [row["id"] for row in out] == ["1", "2", "3", "4", "5", "6"]


def test_nothing_but_paths_is_a_mistake_of_usage(run):
    _, err = run(stdin=b"clip.m4a\nclip.heic\nmissing.wav\n", code=2)
    assert "error: nothing done: no item could be embedded" in err
    assert "--text" in err


def test_sentences_that_end_as_files_do_are_reported(run):
    _, err = run(stdin=b"what is in my old clip.m4a\na dog.\nthis is my photo.png\n")
    assert (
        "note: 2 texts end as a file's name does, and were embedded as texts, "
        "first 'what is in my old clip.m4a'\n"
    ) in err
    _, err = run("--text", "what is in my old clip.m4a")
    assert "note:" not in err


def test_the_same_words_either_way(run):
    [as_line] = run(stdin=b'{"id": "x", "text": "clip.m4a"}')[0]
    [as_argument] = run("--text", "clip.m4a")[0]
    assert as_line["embedding"] == as_argument["embedding"]


def test_lines_of_any_kind_of_file(run):
    def assert_same(out, expected):
        # The last digits of a row depend, on some CPUs, on how many are multiplied at once.
        assert len(out) == len(expected)
        for row, other in zip(out, expected, strict=True):
            assert row["embedding"] == pytest.approx(other["embedding"], abs=1e-6)

    out, _ = run(stdin=b"\xef\xbb\xbfa dog\ra cat\r\na bird\n\xef\xbb\xbfa cow")
    expected, _ = run("a dog", "a cat", "a bird", "a cow")
    assert_same(out, expected)
    out, _ = run(stdin="a dog\na cat\n".encode("utf-16"))
    assert_same(out, expected[:2])
    _, err = run(stdin="a dog".encode("utf-16-le"), code=4)
    assert "NUL byte; is this UTF-16" in err
    _, err = run(stdin=b'["a dog", "a cat"]', code=4)
    assert "a JSON array; write one object a line" in err
