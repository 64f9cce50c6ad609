"""``molspace index`` and ``molspace search``, with encoders that draw rows by id."""

import json
import shutil

import numpy as np
import pytest
from in_process import runner
from indexed import load_fake, target_at
from media_files import image_bytes, put, put_tar
from parquet_media import put_media, struct
from PIL import Image

from reactions import session
from reactions.search.hits import IndexedItem


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "load_encoder", load_fake)
    target_at(tmp_path / "bundle")
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("cat.png", "dog.png", "fox.png")):
        pixels = np.full((4, 4, 3), number * 50, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    (tmp_path / "captions.txt").write_text("rain\nsnow\nhail\n")
    (tmp_path / "bad.jsonl").write_text('{"id": "2", "text": "rain"}\n{"text": \n')

    return runner(monkeypatch, capsys, stdin=b"")


@pytest.fixture
def built(run):
    code, out, err = run("index", "bundle", "photos", "captions.txt", "--out", "idx", "--json")
    assert code == 0, err
    return json.loads(out)


def test_slips_in_queries_are_reported_with_the_fix(built, run, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"rain\n\xff\xfe\n")
    code, _, err = run("search", "idx", "--image", "photos/cta.png")
    assert (code, "did you mean 'photos/cat.png'?" in err) == (2, True), err
    code, _, err = run("search", "idx", "--query", "image=photos/cta.png")
    assert (code, "did you mean 'photos/cat.png'?" in err) == (2, True), err
    code, _, err = run("search", "idx", "bad.txt")
    assert (code, "line 2 of 'bad.txt'" in err, "iconv" in err) == (2, True, True), err
    code, _, err = run("search", "idx", stdin=(tmp_path / "bad.txt").read_bytes())
    assert (code, "line 2 of stdin" in err, "iconv" in err) == (2, True, True), err
    code, _, err = run("index", "bundle", "bad.txt", "--out", "idx")
    assert (code, "skipped line 2: not UTF-8" in err, "fix: save it as UTF-8" in err) == (
        *(4, True, True),
    )
    code, _, err = run("infer", "bad.txt", "--space", "bundle", "--format", "jsonl")
    assert (code, "fix: save it as UTF-8" in err) == (4, True)
    code, _, err = run(
        *("infer", "--space", "bundle", "--format", "jsonl"), stdin=b'{"text": "\\udc80"}'
    )
    assert "half of a character" in err
    assert "iconv" not in err


def test_what_building_says(built, run):
    assert built["schema"] == "molspace.index/1"
    assert built["counts"] == {"image": 3, "text": 3}
    assert built["added"] == {"image": 3, "text": 3}
    assert built["free"] == ["lambda InternVL", "sigma CLAP_m", "sigma CLAP_g"]
    code, out, err = run("index", "build", "bundle", "captions.txt", "--out", "idx")
    assert (code, out) == (0, "idx\n")
    assert "added nothing; 3 there already; it has 3 image, 3 text" in err


class TestKeysThatRepeat:
    """Keys of shards repeat from set to set; what another tar holds is never replaced."""

    @pytest.fixture
    def tars(self, run, tmp_path):
        for name, shade in (("a", 10), ("b", 90)):
            (tmp_path / name).mkdir()
            pixels = {f"0000{i}.png": image_bytes(shade + i) for i in range(2)}
            put_tar(tmp_path / name / "00000.tar", pixels)
        code, _, err = run("index", "bundle", "a/00000.tar", "--out", "idx")
        assert code == 0, err
        return tmp_path

    def added(self, run, *arguments):
        code, out, err = run("index", "bundle", *arguments, "--out", "idx", "--json")
        assert code == 0, err
        body = json.loads(out)
        return body["counts"], body["added"], body["kept"], body["replaced"]

    def test_another_set_is_refused_and_nothing_is_replaced(self, run, tars):
        code, _, err = run("index", "bundle", "b/00000.tar", "--out", "idx")
        assert code == 2
        assert "holds another image with the id '00000' than" in err
        assert "fix: --prefix NAME" in err
        assert self.added(run, "a/00000.tar") == ({"image": 2}, {}, 2, {})

    def test_a_prefix_keeps_both(self, run, tars):
        both = ("b/00000.tar", "--prefix", "birds")
        assert self.added(run, *both) == ({"image": 4}, {"image": 2}, 0, {})
        assert self.added(run, *both) == ({"image": 4}, {}, 2, {})
        assert self.added(run, "a/00000.tar") == ({"image": 4}, {}, 2, {})
        put(tars / "c.png", image_bytes(7))
        _, _, err = run("index", "bundle", "c.png", *both, "--out", "idx")
        assert "note: 1 item is called by its path or text, which has no prefix" in err

    def test_a_tar_that_changed_and_one_that_was_moved_take_their_own_place(self, run, tars):
        put_tar(tars / "a" / "00000.tar", {"00000.png": image_bytes(200)})
        assert self.added(run, "a/00000.tar")[3] == {"image": 1}
        (tars / "a" / "00000.tar").rename(tars / "moved.tar")
        put_tar(tars / "moved.tar", {"00000.png": image_bytes(220)})
        assert self.added(run, "moved.tar")[3] == {"image": 1}

    def test_two_sets_in_one_run(self, run, tars):
        code, _, err = run("index", "bundle", "a/00000.tar", "b/00000.tar", "--out", "other")
        assert (code, "one set at a time, each with --prefix NAME" in err) == (2, True), err


def test_tars_and_patterns_are_indexed_by_their_items(run, tmp_path):
    put_tar(tmp_path / "s.tar", {"k.png": image_bytes(), "k.txt": "rain", "k.cls": "1"})
    code, out, err = run("index", "bundle", "s.tar", "photos/*", "--out", "idx", "--json")
    assert (code, json.loads(out)["counts"]) == (0, {"image": 4, "text": 1}), err
    assert "note: s.tar holds 1 sample: 1 image, 1 text; left out: 1 .cls" in err
    assert "note: photos/* matches 3 files" in err
    assert (json.loads(out)["left_out"], len(json.loads(out)["inputs"])) == (1, 2)
    assert [f"note: {text}" in err for text in json.loads(out)["notices"]] == [True, True]
    code, out, _ = run("index", "bundle", "s.tar", "--out", "idx", "--json")
    assert (code, json.loads(out)["kept"]) == (0, 2)
    code, out, _ = run("search", "idx", "rain", "--json", "--into", "image", "-k", "4")
    (query,) = json.loads(out)["queries"]
    (item,) = [hit for hit in query["hits"] if hit["id"] == "k"]
    assert item["source"] == str(tmp_path / "s.tar/k.png")
    assert item["label"] == "s.tar#k.png"
    assert item["within"] == str(tmp_path / "s.tar")


def test_hits_of_one_file_are_told_apart(run, tmp_path, monkeypatch):
    put_tar(tmp_path / "one.tar", {f"{i}/0.png": image_bytes(i) for i in range(2)})
    pictures = [struct(image_bytes(i), "a.png") for i in range(2)]
    put_media(tmp_path / "rows.parquet", {"image": pictures})
    put_media(tmp_path / "keys.parquet", {"image": pictures, "key": ["left", "right"]})
    (tmp_path / "more").mkdir()
    shutil.copy(tmp_path / "photos" / "cat.png", tmp_path / "more" / "cat.png")
    inputs = ("rows.parquet", "keys.parquet", "photos/cat.png", "more")
    assert run("index", "bundle", "one.tar", *inputs, "--out", "idx", "-q")[0] == 0
    _, out, _ = run("search", "idx", "rain", "--into", "image")
    labels = [row.split("\t")[4] for row in out.splitlines()[2:]]
    files = {"one.tar#0/0.png", "one.tar#1/0.png", "keys.parquet#left", "keys.parquet#right"}
    assert set(labels) == files | {"rows.parquet#1", "rows.parquet#2", "cat.png"}
    assert labels.count("cat.png") == 2
    monkeypatch.setattr("molspace_cli.search.is_terminal", lambda: True)
    out = run("search", "idx", "rain", "--into", "image")[1]
    assert all(name in out for name in files)
    cells = [line.replace("│", " ").split() for line in out.splitlines()]
    names = {cell for line in cells for cell in line if cell.endswith("cat.png")}
    assert {name.rpartition("/")[0][-4:] for name in names} == {"otos", "more"}, out


def test_rows_of_earlier_indexes_are_read(tmp_path):
    earlier = IndexedItem("0003", "image", f"{tmp_path}/s.tar/0003.png", "")
    assert (earlier.label, earlier.within) == ("0003.png", "")


def test_the_nearest_comes_first(built, run):
    code, out, _ = run("search", "idx", "--text", "photos/cat.png", "-k", "2")
    assert code == 0
    head, columns, *rows = out.splitlines()
    assert head.startswith("# ")
    assert "sigma CLAP_m" in head
    assert columns.split("\t") == [
        *("query", "rank", "score", "modality", "item", "id", "source", "query id")
    ]
    assert len(rows) == 2
    code, out, _ = run("search", "idx", "photos/cat.png", "--into", "image", "--json", "-k", "3")
    (query,) = json.loads(out)["queries"]
    assert [hit["rank"] for hit in query["hits"]] == [1, 2, 3]
    assert query["hits"][0]["id"].endswith("/photos/cat.png")  # the fakes draw by its name
    assert query["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert query["hits"][0]["source"].endswith("/photos/cat.png")


def test_factors_are_chosen_with_the_query(built, run):
    def scores(*options):
        code, out, err = run("search", "idx", "wind", "--json", "--into", "text", *options)
        assert code == 0, err
        return {hit["id"]: hit["score"] for hit in json.loads(out)["queries"][0]["hits"]}

    assert scores() == scores()
    assert scores("--sigma", "0.9,0.9") != scores()
    assert scores("--experts", "InternVL") == scores("--experts", "InternVL", "--sigma", "0.3")


def test_lines_of_stdin_are_queries(built, run):
    code, out, _ = run("search", "idx", "--json", "-k", "1", stdin=b"rain\nsnow\n")
    assert code == 0
    assert [query["query"] for query in json.loads(out)["queries"]] == ["rain", "snow"]


def test_queries_keep_their_ids(built, run):
    lines = b'{"id": "q1", "text": "rain"}\n{"id": "q2", "text": "rain"}\n'
    _, out, _ = run("search", "idx", "--json", "-k", "1", stdin=lines)
    assert [query["id"] for query in json.loads(out)["queries"]] == ["q1", "q2"]
    _, out, _ = run("search", "idx", "-k", "1", stdin=lines)
    assert [line.split("\t")[-1] for line in out.splitlines()[2:]] == ["q1", "q2"]
    _, out, _ = run("search", "idx", "snow", '{"text": "rain"}', "--json")
    assert [query["id"] for query in json.loads(out)["queries"]] == ["snow", "2"]


@pytest.mark.parametrize(
    ("arguments", "code", "message", "fix"),
    [
        (("search", "idxx", "a"), 3, "no index at 'idxx'", "molspace index"),
        (
            ("search", "idx", "photos/cta.png"),
            2,
            "is not taken for a text",
            "did you mean 'photos/cat.png'?; or say that it is a text: --text TEXT",
        ),
        (
            ("search", "idx", "--image", "cat.png"),
            2,
            "cannot search with 'cat.png'",
            "no such file",
        ),
        (("search", "idx", "--query", "photos/cat.png"), 2, "--query", "MODALITY=FILE"),
        (("search", "idx", "--query", "imag=photos/cat.png"), 2, "does not embed imag", "'image'"),
        (("search", "idx", "a", "--into", "texts"), 2, "has no texts", "did you mean 'text'"),
        (("search", "idx", "a", "-k", "0"), 2, "-k", "1 or more"),
        (("search", "idx", "a", "--sigma", "2"), 2, "outside 0 to 1", ""),
        (("search", "idx", "a", "--experts", "CLAP"), 2, "no expert 'CLAP'", "did you mean"),
        (("search", "idx", "a", "--bundle", "nowhere/b"), 3, "no bundle", "--bundle"),
        (("search", "idx"), 2, "no query", "molspace search"),
        (("search", "idx", ""), 2, "cannot search with ''", "an empty text"),
        (("search", "idx", "bad.jsonl"), 2, "with line 2 of 'bad.jsonl'", "JSON"),
        (("index", "bundle", "--out", "idx2"), 2, "nothing to index", "--corpus"),
        (("index", "bundle", "photso", "--out", "i"), 2, "no file or folder 'photso'", "--text"),
        (("index", "bundle", "captions.txt"), 2, "an index needs a place", "--out DIR"),
        (("index", "inf", "my-index"), 2, "an index needs a place", "molspace index info'?"),
        (
            ("index", "bundle", "photos/cta.png", "--out", "i"),
            2,
            "is not taken for a text",
            "did you mean",
        ),
        (("index", "bundle", "a", "--out", "photos"), 2, "other than an index", "--out DIR"),
        (("index", "bundle", "--corpus", "imag", "--out", "i"), 2, "imag", "image"),
        (("index", "info", "photos"), 3, "no index at 'photos'", "molspace index"),
        (("index", "remove", "idx", "nope"), 2, "no item with the id nope", "molspace search"),
        (("index", "remove", "idx", "a", "--modality", "imgae"), 2, "no imgae", "mean 'image'"),
        (("index", "remove", "idx"), 2, "nothing to take out", "--gone"),
        (("index", "remove", "idx", "rain", "--gone"), 2, "ids and --gone", "--gone alone"),
        (("index", "dedupe", "idx", "--near", "2"), 2, "--near is 2", "0.99"),
    ],
)
def test_mistakes(built, run, arguments, code, message, fix):
    ended, out, err = run(*arguments)
    assert (ended, out) == (code, "")
    assert message in err
    assert fix in err


def test_a_bundle_that_moved(built, run, tmp_path):
    shutil.move(tmp_path / "bundle", tmp_path / "elsewhere")
    code, _, err = run("search", "idx", "rain")
    assert code == 3
    assert "is not where it was" in err
    assert "--bundle DIR" in err
    code, out, _ = run("search", "idx", "rain", "--bundle", "elsewhere", "--json")
    assert code == 0
    assert json.loads(out)["queries"][0]["hits"]
    assert run("index", "elsewhere", "captions.txt", "--out", "idx")[0] == 0
    code, _, err = run("search", "idx", "rain")
    assert code == 0, err


def test_files_that_are_gone_are_counted_and_can_be_taken_out(built, run, tmp_path):
    assert json.loads(run("index", "info", "idx", "--json")[1])["gone"] == 0
    (tmp_path / "photos" / "dog.png").unlink()
    assert json.loads(run("index", "info", "idx", "--json")[1])["gone"] == 1
    assert "gone\t1 files: molspace index remove" in run("index", "info", "idx")[1]
    _, out, _ = run("index", "remove", "idx", "--gone", "--json")
    assert json.loads(out)["removed"] == 1
    assert json.loads(out)["counts"] == {"image": 2, "text": 3}
    assert json.loads(run("index", "info", "idx", "--json")[1])["gone"] == 0


def test_names_are_found_in_either_unicode_form(run, tmp_path):
    (tmp_path / "mu\u0308.png").write_bytes(image_bytes(1))
    assert run("index", "bundle", "m\u00fc.png", "--out", "i")[0] == 0
    assert run("index", "remove", "i", "m\u00fc.png")[0] == 0


def test_problems_have_their_line(run):
    code, out, _ = run("index", "bundle", "bad.jsonl", "--out", "i", "--json")
    (problem,) = json.loads(out)["problems"]
    assert (code, problem["line"], problem["id"]) == (4, 2, "2")
    assert sum(json.loads(out)["skipped_why"].values()) == 1


def test_upkeep(built, run):
    code, out, _ = run("index", "info", "idx", "--json", "--verify")
    facts = json.loads(out)
    assert facts["counts"] == {"image": 3, "text": 3}
    assert facts["verified"] == facts["size_bytes"]
    code, out, err = run("index", "remove", "idx", "photos/../photos/cat.png")
    assert (code, out) == (0, "idx\n")
    assert "removed 1; it has 2 image, 3 text" in err
    code, out, err = run("index", "compact", "idx")
    assert "freed 1 row\n" in err
    code, out, _ = run("index", "info", "idx")
    assert "2 items" in out
    (code, out, err) = run("index", "dedupe", "idx")
    assert code == 0
    assert out.startswith("# 0 again")


def test_duplicates_are_taken_out_only_if_asked(built, run, tmp_path):
    shutil.copy(tmp_path / "photos" / "cat.png", tmp_path / "copy.png")
    run("index", "bundle", "copy.png", "--out", "idx")
    _, out, err = run("index", "dedupe", "idx")
    (row,) = (line for line in out.splitlines() if line.startswith("image\t"))
    _, first_path, copy, cosine = row.split("\t")
    assert first_path.endswith("/photos/cat.png")
    assert copy.endswith("/copy.png")
    assert cosine == "1.0000"
    assert "nothing was removed" in err
    _, out, _ = run("index", "dedupe", "idx", "--apply", "--json")
    facts = json.loads(out)
    assert facts["removed"] == 1
    assert facts["counts"]["image"] == 3


def test_files_of_one_name_in_two_folders_are_two(run, tmp_path, monkeypatch):
    for folder in ("a", "b"):
        shutil.copytree(tmp_path / "photos", tmp_path / folder / "photos")
    pixels = np.full((4, 4, 3), 99, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "b" / "photos" / "cat.png")
    for folder in ("a", "b"):
        monkeypatch.chdir(tmp_path / folder)
        code, out, err = run("index", "../bundle", "photos", "--out", "../both", "--json")
        assert code == 0, err
    facts = json.loads(out)
    assert facts["counts"] == {"image": 6}
    assert facts["replaced"] == {}
    monkeypatch.chdir(tmp_path)  # the same files, named from elsewhere
    code, out, _ = run("index", "bundle", "a/photos", "--out", "both", "--json")
    assert json.loads(out)["kept"] == 3


def test_an_index_keeps_its_numbers_type(built, run):
    code, _, err = run("index", "bundle", "photos", "--out", "idx", "--dtype", "float16")
    assert code == 2
    assert "holds float32, not float16" in err
    assert run("index", "bundle", "photos", "--out", "idx", "--dtype", "float32")[0] == 0


def test_too_few_rows_for_a_kind_is_said(run):
    code, _, err = run("index", "bundle", "photos", "--out", "few", "--kind", "ivf-pq")
    assert code == 0
    assert "image is searched row by row: too few rows for ivf-pq" in err


def test_an_index_with_no_bundle_is_of_a_space(run):
    code, _, err = run("index", "ImageBind", "captions.txt", "--out", "plain")
    assert code == 0, err
    code, out, _ = run("search", "plain", "rain", "--json")
    assert code == 0
    assert json.loads(out)["lab"] == "mini"


def test_compacting_to_nothing_says_which_kind_is_gone(run, tmp_path):
    pytest.importorskip("faiss")
    run("index", "bundle", "photos", "--out", "i", "--kind", "hnsw")
    run("index", "bundle", "captions.txt", "--out", "i")
    shutil.rmtree(tmp_path / "photos")
    assert run("index", "remove", "i", "--gone", "--modality", "image")[0] == 0
    code, out, err = run("index", "compact", "i")
    assert (code, out) == (0, "i\n")
    assert "note: image has no rows left, and is no longer searched by hnsw" in err
    assert "--kind hnsw" in err
    assert "note" not in run("index", "compact", "i")[2]


def test_a_dash_behind_an_option_is_stdin(built, run):
    table = b"image,caption\nx.jpg,a dog\ny.jpg,a cat\n"
    code, out, _ = run("search", "idx", "--json", "-k", "1", "--text", "-", stdin=table)
    assert code == 0
    assert [q["query"] for q in json.loads(out)["queries"]] == table.decode().splitlines()


def test_a_table_is_refused_with_what_search_has(built, run, tmp_path):
    (tmp_path / "captions.txt").write_text("image,caption\nx.jpg,a dog\ny.jpg,a cat\n")
    code, _, err = run("search", "idx", "captions.txt")
    assert (code, "fix: give its texts alone" in err, "--columns" in err) == (4, True, False), err
