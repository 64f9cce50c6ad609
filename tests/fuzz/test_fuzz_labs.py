"""Lab files of any content are read or refused, and what is read can be listed."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import MolspaceError
from reactions.labs import trust
from reactions.labs.lab import Lab
from reactions.labs.lab_file import load_lab, read_chain
from reactions.labs.toml_files import read_toml

GOOD = """
[lab]
name = "own"
label = "own"
seed = 3
world_tasks = true
extends = "mini"
[reaction]
hidden_dim = 32
learning_rate = 0.001
dtype = "float16"
[factors.lambda]
other = 0.9
[corpora.text]
path = ["captions.txt", "{a,b}/x-{00..03}.tsv", "s3://bucket/c.parquet"]
column = ["caption"]
skip = ["a"]
max_bad = 0.5
check = "full"
[[corpora.audio]]
manifest = "sounds.jsonl"
[corpora.image]
world = 20
[data]
root = "sets"
[data.esc50]
path = "esc"
[data.birds]
path = "."
[tasks.birds]
kind = "multilabel"
path = "birds.csv"
audio = "file"
class = ["one", "two"]
separator = ";"
id = "key"
templates = ["a sound of {class}"]
main_score = "mAP"
[tasks.animals]
kind = "classification"
image = "photos"
max_bad = 0.5
skip = "x"
[tasks.pairs]
kind = "retrieval"
path = "birds.csv"
folder = "embeddings"
audio = "file"
text = ["one", 1]
[pairs.mine]
path = "birds.csv"
audio = "file"
image = "one"
id = "key"
folder = "."
default = true
[pairs.clips]
video = ["embeddings", "x-{0..3}.mp4"]
seconds = 0.5
clip_at = 0.1
[pairs.ids]
path = "birds.csv"
audio = "one"
image = "two"
by_id = true
[pairs.scenes]
world = 3
[spaces.A]
path = "embeddings"
hub = "text"
[spaces.B]
uri = "hf:org/name@main?precision=fp16"
[spaces.C]
adapter = "mini"
source = "x.safetensors"
dim = 8
modalities = ["text", "image"]
preprocessing = { text = "x" }
flops = { text = 1e9 }
"""

ODD = [
    "nan",
    "inf",
    "-1",
    "0",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "1e400",
    "true",
    "[]",
    "{}",
    "[[[[[[[[[[1]]]]]]]]]]",
    "[1, 'a', {}]",
    "1979-05-27",
    "1979-05-27T07:32:00Z",
    "''",
    "'~no-such-user/x'",
    "'.'",
    "'..'",
    "'/'",
    "'/dev/zero'",
    "'" + "x" * 5000 + "'",
    "'reference::file://x'",
    "'https://a:b@host/x'",
    "'s3://'",
    "'://'",
    "'hf:'",
    "'hf:.'",
    "'hf:../x'",
    "'open_clip:'",
    "'imagebind:/'",
    "'plugin:x'",
    "'$MOLSPACE_DATA'",
    "'{0..99999999999}'",
    "'{,}'",
    "'*'",
    "'**'",
    "'[x'",
    r'"\u0000"',
    r'"\u001b[2J"',
    r'"\u202e"',
]
LINES = GOOD.strip().splitlines()


@st.composite
def changed(draw: st.DrawFn) -> str:
    """Draw lab files whose values, keys and sections are not what they should be."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[place].partition(" = ")
        match draw(st.sampled_from(["value", "value", "value", "drop", "twice", "section", "key"])):
            case "value" if equals:
                lines[place] = f"{key} = {draw(st.sampled_from(ODD))}"
            case "drop":
                del lines[place]
            case "twice":
                lines.insert(place, lines[place])
            case "section":
                lines.insert(
                    place, draw(st.sampled_from(["[x]", "[spaces]", "[[spaces]]", "[lab.x]"]))
                )
            case "key":
                lines.insert(place, f"{draw(st.sampled_from(['x', 'path', 'uri', 'world']))} = 1")
            case _:
                pass
        if not lines:
            break
    return "\n".join(lines)


def use(data: bytes) -> object:
    """Read a lab file, and list all that it names, in a folder of its own; return the lab."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            path = Path("molspace.toml")
            path.write_bytes(data)
            Path("embeddings").mkdir()
            np.save("embeddings/text.npy", np.eye(4, dtype=np.float32))
            Path("captions.txt").write_text("a dog\nrain\n", encoding="utf-8")
            Path("birds.csv").write_text("key,file,one,two\n1,text.npy,a,b\n", encoding="utf-8")
            usable_or_refused(lambda: read_toml(path))
            outcome = usable_or_refused(lambda: trust.mentions(read_chain(path)))
            alone = usable_or_refused(load_lab)
            if outcome and not isinstance(outcome, MolspaceError):
                assert isinstance(alone, MolspaceError), "it was not allowed"
            lab = usable_or_refused(lambda: load_lab("molspace.toml"))
            if isinstance(lab, MolspaceError):
                return lab
            for name in lab.catalogue.names():
                usable_or_refused(lambda name=name: lab.catalogue.by_name(name))
            for name in lab.own_tasks:
                usable_or_refused(lambda name=name: lab.benchmark(name))
            for name, source in lab.pairs.items():
                if source.world_scenes < 1000:
                    usable_or_refused(lambda source=source: lab.open_pairs(source))
                usable_or_refused(lambda name=name: lab.pairs_of("audio", "image", name))
            if all(source.world_rows < 1000 for source in lab.corpora.values()):
                with suppress(MolspaceError):
                    usable_or_refused(lambda: [lab.corpus(modality) for modality in lab.corpora])
            return lab
        finally:
            os.chdir(before)


def test_the_good_one_is_read():
    assert isinstance(with_offline(lambda: use(GOOD.encode())), Lab)


@fuzz
@given(mutated(GOOD.encode(), head_bytes=len(GOOD)))
def test_damaged_lab_files_are_read_or_refused(data):
    with_offline(lambda: use(data))


@fuzz
@given(changed())
def test_lab_files_of_other_values_are_read_or_refused(text):
    with_offline(lambda: use(text.encode("utf-8", "surrogatepass")))


@fuzz
@given(st.text(alphabet="ab.=[]{}\"'#\\\n 1,", max_size=400))
def test_any_toml_is_read_or_refused(text):
    with_offline(lambda: use(text.encode()))


def with_offline(call):
    """Keep from the network: some of the addresses are real ones."""
    before = os.environ.get("MOLSPACE_OFFLINE")
    os.environ["MOLSPACE_OFFLINE"] = "1"
    try:
        return call()
    finally:
        if before is None:
            del os.environ["MOLSPACE_OFFLINE"]
        else:
            os.environ["MOLSPACE_OFFLINE"] = before
