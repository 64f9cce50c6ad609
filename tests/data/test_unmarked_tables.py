"""Tables that are called .txt are not texts; texts with commas are."""

import io

import pytest
from media_files import put

from reactions.core.errors import DataError, UsageError
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus
from reactions.data.unmarked_tables import why_a_table
from reactions.inference.arguments import refuse_paths
from reactions.inference.inputs import read_stream
from reactions.labs import generators

TABLES = {
    "csv": ["id,caption", "1,a dog", "2,a cat"],
    "one row": ["id,caption", "1,a dog"],
    "quoted": ["id,caption", '1,"a dog, running"', '2,"a ""cat"""'],
    "unquoted commas": ["image,caption", *["a.jpg,a dog, running"] * 5],
    "tsv": ["name\twhat is seen", "a\ta dog", "b\ta cat"],
    "numbers below names": ["word,weight", "dog,0.5", "cat,1e-3", "cow,2"],
    "files below a name": ["shown,said", "a.jpg,one", "b.png,two", "c.jpg,three"],
    "row numbers of pandas": [",caption", "0,a dog", "1,a cat"],
    "bars": ["image_name| comment_number| comment", "1.jpg| 0| Two men.", "1.jpg| 1| A dog."],
    "semicolons": ["Title;Text", "a;b", "c;d"],
    "blanks behind commas": ["id, caption", "1, a dog", "2, a cat"],
    "a broken row": ["id,caption", *["1,a dog"] * 20, "and its end"],
    "AudioCaps": ["audiocap_id,youtube_id,start_time,caption", "9,xy,20,rain", "8,xz,30,wind"],
}
TEXTS = {
    "sentences": ["A dog, a cat.", "Rain, then snow.", "One, two."],
    "places": ["Paris, France", "Rome, Italy", "Oslo, Norway"],
    "pairs of words": ["cat,dog", "red,blue", "one,two", "up,down"],
    "a usual name": ["image, picture", "dog, hound", "cat, kitten"],
    "names and years": ["Monet, 1872", "Goya, 1814", "Dürer, 1502"],
    "one line": ["id,caption"],
    "few with commas": ["title,text", "a dog", "a cat", "a cow"],
    "one tab": ["a dog\truns", "a cat sleeps", "a cow"],
    "a poem": ["Text, text, nothing but text,", "and behind it", "a comma, another"],
    "JSON": ['{"text": "id,caption"}', "1,a dog", "2,a cat"],
    "synonyms": ["tench, Tinca tinca", "goldfish, Carassius auratus", "cock, rooster"],
    "empty": [],
}


@pytest.mark.parametrize("name", TABLES)
def test_a_header_tells_a_table(name):
    assert TABLES[name][0].strip()[:4] in why_a_table(["", *TABLES[name]])


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_texts(name):
    assert why_a_table(TEXTS[name]) == ""
    assert why_a_table(TABLES["csv"][1:]) == ""


def read(lines, stream=io.BytesIO, **more):
    data = "\n".join(lines).encode()
    return list(read_stream(stream(data), base=more.pop("base"), modalities=("text",), **more))


class Pipe(io.BytesIO):
    def seekable(self):
        return False


@pytest.mark.parametrize("stream", [io.BytesIO, Pipe])
def test_lines_to_be_embedded(stream, tmp_path):
    with pytest.raises(DataError, match="standard input is a table") as caught:
        read(TABLES["csv"], stream, base=tmp_path)
    assert "names columns ('id,caption'), and 2 of the next 2 have as many" in caught.value.why
    as_said = read(TABLES["csv"], stream, base=tmp_path, taken_as="text")  # the fix
    assert [item.value for item in as_said] == TABLES["csv"]
    assert [item.value for item in read(TEXTS["places"], stream, base=tmp_path)] == TEXTS["places"]
    assert len(read(TEXTS["JSON"], stream, base=tmp_path)) == 3


def test_lines_of_a_pipe_come_at_once(tmp_path):
    class Live(Pipe):
        n_read = 0

        def readline(self, size=-1):
            self.n_read += 1
            return super().readline(size)

    stream = Live(b"cat,dog\nred,blue\none,two\n")
    items = read_stream(stream, base=tmp_path, modalities=("text",))
    assert next(items).value == "cat,dog"
    assert stream.n_read == 1


def test_files_are_refused_before_anything_is_trained(tmp_path):
    path = put(tmp_path / "x.txt", "\n".join(TABLES["tsv"]))
    with pytest.raises(DataError, match=r"x\.txt' is a table, not lines of texts") as caught:
        refuse_paths([str(path)])
    assert "--text -" in caught.value.fix
    put(path, "\n".join(TEXTS["places"]))
    refuse_paths([str(path)])


def test_captions(tmp_path):
    path = put(tmp_path / "x.txt", "\n".join(TABLES["csv"]))

    def corpus():
        source = Source(paths=(str(path),))
        return open_corpus("captions", "text", [source], tables=TableCache(tmp_path / "cache"))

    with pytest.raises(DataError, match=r"x\.txt' is a table, not lines of captions") as caught:
        corpus()
    assert "call it .csv" in caught.value.fix
    path = path.rename(path.with_suffix(".csv"))
    assert [item.value for item in corpus().items(0, 2)] == ["a dog", "a cat"]


def test_classes():
    with pytest.raises(UsageError, match="is a table, not a list of classes"):
        generators._listed("\n".join(TABLES["csv"]), "classes.txt")
    assert generators._listed("dog, hound\ncat, kitten", "classes.txt") == (
        "dog, hound",
        "cat, kitten",
    )
