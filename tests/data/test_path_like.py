"""Paths and file names are not texts; sentences, numbers and idioms are."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.data.path_like import file_reason, known_suffix, path_reason, share_of_paths

NOWHERE = Path("/nowhere")


def words(text: str) -> list[str]:
    return text.split()


PATHS = [
    *words(
        """
missing.m4a missing.parquet missing.csv missing.mp4 missing.heic missing.jfif CLIP.M4A
clip.Wma clip.m4a. 'clip.m4a' "clip.mov" clip.webm? archive.tar.gz x.csv.gz notes.txt
paper.pdf model.pt rows.npz emb.safetensors weights.bin movie.mkv scan.dng shot.nef
a.wav,b.m4a .wav .env.toml clip.xyz photo.blend data.lmdb CLIP.XYZ main.c lib.so sounds/rain
data/clip ./clip ../clip ~/clip ~nobody/x ~ ~nobody /data/clip /clip clips/ a/b/c/d src/dog
img/cat usr/bin images/dog/1 C:\\clips\\dog C:/clips/dog \\\\server\\share\\x clips\\dog
$HOME/clip.wav hf:org/model open_clip:ViT-B-32/openai www.example.org/x http://example.org
https://example.org/a.png file:///tmp/a.m4a s3://bucket/key data:image/png;base64,AA *.wav
clips/* img_??.png clip[0-9] clip_{1,2} * dog*
"""
    ),
    "./my clips/dog",
    "/data/my clips/dog",
    "~/my clips/dog.m4a",
    "C:\\my clips\\dog.m4a",
    "sounds/my clip.m4a",
    "a.m4a b.m4a",
    "my clip.m4a",
    "dog bark 01.wav",
    "My Holiday.MOV",
    "my data.parquet",
    "file:///tmp/my clip.m4a",
    "  clip.m4a  ",
    "my dog.wva",
    *words("rows.parquett x.safetensor clip.jpgg photo.pgn clips.jsonll lines.txet"),
    *words("x.7z photo.jpg~ clip.wav:1 clip.wav?x=1 clip.m4a#t=1,5"),
    "clip.wav\u200b",
    "\u202aC:\\clips\\dog",
    "holiday in Rome 2019 (1).mp4",
    "Screen Shot 2020-01-01 at 10.00.00.png",
    "Aufnahme vom 3. Mai.wav",
    "track 01 - artist - title.mp3",
    "recordings of birds/one two.wav",
    "New Recording of the dog 12.m4a",
    "007.jpg\ta dog in the rain",
    "1000268201_693b08cb0e.jpg#0\tA child in a pink dress .",
    "1000268201_693b08cb0e.jpg,A child in a pink dress .",
    '"my holiday.png";"a beach"',
    "1000092795.jpg| 0| Two young guys",
    "sounds/rain 1.wav\train on a roof",
]

TEXTS = [
    *words(
        """
dog dog. dog? dog! 東京 3.5 2.0 v2.0 2.0.1 10.5kg 1,000.50 $3.50 12.30pm 192.168.0.1 No.5 1.5x
U.S.A. U.S. e.g. i.e. a.m. p.m. Ph.D. B.Sc. a.k.a. D.C. Mr.Smith St.Louis J.R.R.Tolkien etc.
and/or and/or, (and/or) he/she s/he his/her he/she/it either/or 1/2 24/7 3/4-inch 12/25/2024
km/h m/s miles/hour beats/minute AC/DC TCP/IP I/O HIV/AIDS GNU/Linux on/off yes/no true/false
input/output w/o wait...what ... -- :-) [laughter] [music] *whispers* **loud** f*ck
me@example.org ~5 ~10% #1 C++ rock'n'roll well-known don't 狗叫/鸟鸣 "hello" re:invent 10:30 </s>
"""
    ),
    "a dog.",
    "e.g. this",
    "Mr. Smith",
    "version 2.0",
    "what is 1/2?",
    "a file named x.png",
    "in x.png, a dog",
    "x.png shows a dog",
    "dogs\tcats",
    "e.g.,a dog | a cat",
    "v1.2,new and better",
    "a file named x.m4a",
    "I love Node.js",
    "she is it.",
    "see https://example.org/a",
    "cats and/or dogs",
    "can you open photo.jpg: it is mine",
    "10:30 at the station",
    "and/or you can see x.wav",
    "it costs 3.5 $/kg",
    "/s of course",
    "~ 5 miles",
    "see you.soon",
    "the end.now",
    "good night.all",
    "what * is a star",
    "a / b",
    "Rain falls.Then it stops.",
    "the end.",
    "  a dog  ",
    "a\\b c",
    "n" * 5000,
    "a dog " * 500,
]


@pytest.mark.parametrize("text", PATHS)
def test_what_looks_like_a_path_is_reported(text):
    assert path_reason(text, NOWHERE)


@pytest.mark.parametrize("text", TEXTS)
def test_what_reads_as_a_text_is_one(text):
    assert path_reason(text, NOWHERE) == ""


def test_names_that_are_those_of_files():
    for name in words("dog.wav cat.TXT photo.jpg"):
        assert file_reason(name)
    for name in ("dog", "Node.js", "AC/DC", "animals/dog", "St. Bernard", "a dog.wav", "vs."):
        assert file_reason(name) == ""


def test_texts_of_tables_are_not_looked_for_on_disk(tmp_path):
    (tmp_path / "rain").write_bytes(b"")
    assert path_reason("rain", tmp_path)
    assert path_reason("rain", None) == ""
    assert share_of_paths(["rain", "a/b/c.wav", "rain.wav", "a dog"]) == 0.5
    assert share_of_paths([]) == 0


def test_what_is_on_disk_is_a_path(tmp_path):
    for name in ("rain", "my dog", "LICENSE"):
        assert path_reason(name, tmp_path) == ""
        (tmp_path / name).write_bytes(b"")
        assert "of this name is there" in path_reason(name, tmp_path)
    assert path_reason("and/or", tmp_path) == ""
    (tmp_path / "and").mkdir()
    assert "separator" in path_reason("and/or", tmp_path)
    (tmp_path / "gone").symlink_to("nowhere")
    assert path_reason("gone", tmp_path)


def test_suffixes_of_sentences():
    assert known_suffix("it is in my clip.M4A.") == "M4A"
    assert known_suffix("it is a clip.") == ""


@given(st.text())
def test_any_text_is_judged(text):
    path_reason(text, NOWHERE)
