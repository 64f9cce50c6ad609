import json

import numpy as np
import pytest
from lab_files import load
from media_files import image_bytes, put, put_tar, sound_bytes

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.data.pairs.corpora import SourcePairs
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.modalities.registry import get
from reactions.modalities.registry import load as decode

pytestmark = pytest.mark.usefixtures("own_folder")

N = 20


@pytest.fixture(autouse=True)
def media(tmp_path, monkeypatch):
    """Twenty sounds and pictures of different names: sounds/s3.wav belongs to stills/p3.png."""
    for i in range(N):
        put(tmp_path / "sounds" / f"s{i}.wav", sound_bytes(i))
        put(tmp_path / "stills" / f"p{i}.png", image_bytes(i))
    return tmp_path


def rows(n=N):
    return [(f"k{i}", f"sounds/s{i}.wav", f"stills/p{i}.png") for i in range(n)]


def csv(rows, head="key,wav,jpg"):
    return "\n".join([head, *(",".join(row) for row in rows)]) + "\n"


TABLE = '[pairs.mine]\npath = "{}"\naudio = "wav"\nimage = "jpg"\n'
LAX = "max_bad = 0.5\n"


def opened(text, tmp_path=None, **options):
    digests = DigestCache(tmp_path / "cache") if tmp_path else None
    return load(text, digests=digests, **options).pairs_of("audio", "image")


def ids(pairs):
    audio, image = (pairs.corpus(m).ids() for m in ("audio", "image"))
    assert audio == image
    return audio


def check_all(pairs, expected):
    """Every row of both sides is what the table says belongs together, and can be decoded."""
    sides = [pairs.corpus(m).items(0, len(pairs)) for m in ("audio", "image")]
    for number, sound, picture in zip(expected, *sides, strict=True):
        samples, pixels = decode(sound).value.samples, decode(picture).value
        reference = get("audio").load(sound_bytes(number)).samples
        assert np.array_equal(samples, reference)
        assert np.array_equal(pixels, get("image").load(image_bytes(number)))


# --- tables ---


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_a_table_of_paths(form, media):
    records = [dict(zip(("key", "wav", "jpg"), row, strict=True)) for row in rows()]
    if form == "parquet":
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(records), media / "pairs.parquet")
    elif form == "jsonl":
        put(media / "pairs.jsonl", "".join(f"{json.dumps(record)}\n" for record in records))
    else:
        put(media / f"pairs.{form}", csv(rows()).replace(",", "\t" if form == "tsv" else ","))
    pairs = opened(TABLE.format(f"pairs.{form}") + 'id = "key"\n')
    assert (len(pairs), pairs.modalities, pairs.notices) == (N, ("audio", "image"), ())
    assert pairs.name == f"{media.name} pairs mine"
    assert ids(pairs) == [f"k{i}" for i in range(N)]
    check_all(pairs, range(N))


def test_without_a_column_of_ids_the_first_files_names_are_ids(media):
    put(media / "pairs.csv", csv(rows()))
    assert ids(opened(TABLE.format("pairs.csv")))[3] == "sounds/s3.wav"


def test_one_sound_with_several_pictures_is_several_pairs(media):
    several = [*rows(2), ("k2", "sounds/s0.wav", "stills/p5.png")]
    put(media / "pairs.csv", csv(several))
    pairs = opened(TABLE.format("pairs.csv"))
    assert ids(pairs) == ["sounds/s0.wav (line 2)", "sounds/s1.wav", "sounds/s0.wav (line 4)"]


def test_files_may_lie_in_another_folder(media):
    put(media / "tables" / "pairs.csv", csv(rows(2)))
    with pytest.raises(DataError, match=r"(?s)2 of 2 pairs cannot be used.*no file.*tables"):
        opened(TABLE.format("tables/pairs.csv"))
    assert len(opened(TABLE.format("tables/pairs.csv") + 'folder = "."\n')) == 2


def test_columns_by_number(media):
    put(media / "pairs.csv", csv(rows(), head="a,b,c").partition("\n")[2])
    text = '[pairs.mine]\npath = "pairs.csv"\nheader = false\naudio = 1\nimage = 2\nid = 0\n'
    assert ids(opened(text))[:2] == ["k0", "k1"]


def test_several_tables(media):
    put(media / "a.csv", csv(rows(2)))
    put(media / "b.csv", csv(rows(3)))
    pairs = opened('[pairs.mine]\npath = ["a.csv", "b.csv"]\naudio = "wav"\nimage = "jpg"\n')
    assert len(pairs) == 5
    assert ids(pairs)[1:3] == ["1/sounds/s1.wav", "2/sounds/s0.wav"]


def test_captions_are_a_side_too(media):
    put(media / "pairs.csv", csv([(f"k{i}", f"sounds/s{i}.wav", f"sound {i}") for i in range(3)]))
    lab = load('[pairs.mine]\npath = "pairs.csv"\naudio = "wav"\ntext = "jpg"\n')
    pairs = lab.pairs_of("audio", "text")
    assert [item.value for item in pairs.corpus("text").items(0, 3)] == [
        "sound 0",
        "sound 1",
        "sound 2",
    ]
    with pytest.raises(MissingError, match="no pairs of audio and image"):
        lab.pairs_of("audio", "image")


def test_other_texts_are_other_pairs(media):
    put(media / "pairs.csv", "wav,one,two\nsounds/s0.wav,a dog,a cat\n")
    text = '[pairs.mine]\npath = "pairs.csv"\naudio = "wav"\ntext = "{}"\n'
    digests = [
        load(text.format(column), digests=DigestCache(media / "cache"))
        .pairs_of("audio", "text")
        .digest
        for column in ("one", "two", "one")
    ]
    assert digests[0] != digests[1]
    assert digests[0] == digests[2]


def test_ids_of_embeddings(media):
    put(media / "pairs.csv", csv([("x", f"a{i}", f"v{i}") for i in range(3)]))
    pairs = opened(TABLE.format("pairs.csv") + "by_id = true\n")
    assert pairs.corpus("audio").ids() == ["a0", "a1", "a2"]
    assert pairs.corpus("image").ids() == ["v0", "v1", "v2"]
    assert pairs.corpus("image").items(0, 1)[0].value is None


def test_an_id_of_embeddings_comes_once(media):
    put(media / "pairs.csv", csv([("x", "a0", "v0"), ("x", "a0", "v1"), ("x", "a2", "v2")]))
    pairs = opened(TABLE.format("pairs.csv") + "by_id = true\n" + LAX)
    assert pairs.corpus("image").ids() == ["v0", "v2"]
    assert "the audio id 'a0' comes a second time" in pairs.notices[0]


# --- what is left out ---


def test_a_missing_half_is_left_out_and_counted(media):
    (media / "stills" / "p3.png").unlink()
    (media / "sounds" / "s5.wav").unlink()
    put(media / "pairs.csv", csv([*rows(8), ("k8", "sounds/s8.wav", "")]))
    pairs = opened(TABLE.format("pairs.csv") + 'id = "key"\n' + LAX, media)
    assert ids(pairs) == ["k0", "k1", "k2", "k4", "k6", "k7"]
    check_all(pairs, (0, 1, 2, 4, 6, 7))
    assert "3 of 9 pairs are left out" in pairs.notices[0]
    bad = {item.id: item.why for item in pairs.corpus("audio").bad()}
    assert set(bad) == {"k3", "k5", "k8"}
    assert "its image: there is no file" in bad["k3"]
    assert bad["k5"].startswith("there is no file")
    assert bad["k8"] == "its image: the name of its file: empty"
    listed = pairs.skipped.listed.read_text().splitlines()
    assert [json.loads(line)["id"] for line in listed] == ["k3", "k5", "k8"]


def test_damaged_halves_are_left_out(media):
    put(media / "stills" / "p1.png", b"not a picture")
    put(media / "sounds" / "s2.wav", sound_bytes(2)[:-200])
    put(media / "pairs.csv", csv(rows()))
    pairs = opened(TABLE.format("pairs.csv") + 'id = "key"\n' + LAX)
    assert len(pairs) == N - 2
    assert "k1" not in ids(pairs)
    assert "k2" not in ids(pairs)


def test_damage_that_only_a_full_check_finds(media):
    data = bytearray(sound_bytes(4, "FLAC", n=16_000))
    data[9_000:9_200] = bytes(200)
    put(media / "sounds" / "s4.wav", bytes(data))
    put(media / "pairs.csv", csv(rows()))
    text = TABLE.format("pairs.csv") + LAX
    assert len(opened(text)) == N
    lab = load(text).with_check("full")
    assert len(lab.pairs_of("audio", "image")) == N - 1


def test_too_much_that_cannot_be_used(media):
    (media / "stills" / "p3.png").unlink()
    put(media / "pairs.csv", csv(rows()))
    with pytest.raises(DataError, match=r"1 of 20 pairs cannot be used") as caught:
        opened(TABLE.format("pairs.csv"))
    assert "its image: there is no file" in caught.value.why
    assert "max_bad (now 0.01) under [pairs.mine]" in caught.value.fix
    assert caught.value.what.endswith(": [pairs.mine]")


def test_nothing_that_can_be_used(media):
    put(media / "pairs.csv", csv([("k", "sounds/s0.wav", "stills/gone.png")]))
    with pytest.raises(DataError, match="none of its 1 pairs can be used") as caught:
        opened(TABLE.format("pairs.csv") + "max_bad = 1.0\n")
    assert caught.value.what == "[pairs.mine] is empty"


def test_sides_of_unequal_length_are_refused(media):
    put(media / "pairs.csv", csv(rows(4)))
    sound, picture = opened(TABLE.format("pairs.csv")).sides
    (sounds,), (pictures,) = sound._parts, picture._parts
    cut = pictures.with_verdicts(["", "", "", "it is gone"])
    source = Source(max_bad=1.0)
    with pytest.raises(DataError, match=r"sides of \[pairs.x\] are not equally long") as caught:
        SourcePairs(
            "x", "pairs.x", {"audio": [sounds], "image": [cut]}, source, tables=TableCache()
        )
    assert caught.value.why == "4 of audio and 3 of image"


def test_an_id_of_another_row_is_left_out(media):
    put(media / "pairs.csv", csv([*rows(3), ("k1", "sounds/s3.wav", "stills/p3.png")]))
    pairs = opened(TABLE.format("pairs.csv") + 'id = "key"\n' + LAX)
    assert ids(pairs) == ["k0", "k1", "k2"]
    assert "its id is that of line 3" in pairs.notices[0]


def test_pairs_are_skipped_by_id(media):
    put(media / "pairs.csv", csv(rows()))
    text = TABLE.format("pairs.csv") + 'id = "key"\nskip = ["k3"]\n'
    assert "k3" not in ids(opened(text))
    with pytest.raises(DataError, match=r"(?s)no item 'k33' to skip.*did you mean"):
        opened(text.replace('["k3"]', '["k33"]'))


def test_an_address_in_a_table_is_not_fetched(media):
    put(media / "pairs.csv", csv([*rows(2), ("k", "https://host/a.wav", "stills/p3.png")]))
    pairs = opened(TABLE.format("pairs.csv") + LAX)
    assert "'https://host/a.wav' is an address" in pairs.notices[0]


def test_the_digest_follows_who_belongs_to_whom(media):
    put(media / "pairs.csv", csv(rows(3)))
    text = TABLE.format("pairs.csv") + 'id = "key"\n'
    first = opened(text, media).digest
    assert opened(text, media).digest == first
    crossed = [(k, s, f"stills/p{(i + 1) % 3}.png") for i, (k, s, _) in enumerate(rows(3))]
    put(media / "pairs.csv", csv(crossed))
    assert opened(text, media).digest != first
    put(media / "pairs.csv", csv(rows(3)))
    assert opened(text, media).digest == first


def test_scans_are_remembered(media, monkeypatch):
    put(media / "pairs.csv", csv(rows(3)))
    text = TABLE.format("pairs.csv")
    first = opened(text, media).digest
    monkeypatch.setattr("reactions.data.sources.files.look_at_file", None)
    assert opened(text, media).digest == first


# --- shards ---


def samples(n=N, **left_out):
    members = {}
    for i in range(n):
        members[f"{i:04d}.flac"] = sound_bytes(i, "FLAC")
        members[f"{i:04d}.jpg"] = image_bytes(i, "JPEG")
    return members


SHARDS = '[pairs.mine]\npath = "shards-{00..01}.tar"\naudio = "flac"\nimage = "jpg"\n'


def test_members_of_one_key_belong_together(media):
    members = samples()
    names = list(members)
    put_tar(media / "shards-00.tar", {name: members[name] for name in names[:20]})
    put_tar(media / "shards-01.tar", {name: members[name] for name in names[20:]})
    pairs = opened(SHARDS)
    assert ids(pairs) == [f"{i:04d}" for i in range(N)]
    for number in (0, 13):
        (picture,) = pairs.corpus("image").items(number, number + 1)
        assert picture.value.read() == members[f"{number:04d}.jpg"]
        (sound,) = pairs.corpus("audio").items(number, number + 1)
        assert sound.value.read() == members[f"{number:04d}.flac"]


def test_samples_without_a_half(media):
    members = samples()
    del members["0003.jpg"], members["0005.flac"]
    members["0007.jpg"] = b"broken"
    put_tar(media / "a.tar", members)
    text = SHARDS.replace("shards-{00..01}", "a") + LAX
    pairs = opened(text)
    assert ids(pairs) == [f"{i:04d}" for i in range(N) if i not in (3, 5, 7)]
    assert "3 of 20 pairs are left out" in pairs.notices[0]


def test_an_ending_that_no_sample_has(media):
    put_tar(media / "a.tar", samples(2))
    with pytest.raises(MissingError, match=r"(?s)samples hold .*flac.*pairs\.mine\.audio is 'wav'"):
        opened('[pairs.mine]\npath = "a.tar"\naudio = "wav"\nimage = "jpg"\n')


def test_captions_of_shards_are_refused(media):
    put_tar(media / "a.tar", samples(2))
    lab = load('[pairs.mine]\npath = "a.tar"\naudio = "flac"\ntext = "txt"\n')
    with pytest.raises(UsageError, match=r"(?s)takes text from shards.*table"):
        lab.pairs_of("audio", "text")


# --- places ---


def test_a_folder_is_no_table(media):
    with pytest.raises(MissingError, match=r"(?s)names the folder.*table"):
        opened(TABLE.format("sounds"))


def test_a_file_of_another_kind(media):
    put(media / "pairs.xlsx", "x")
    with pytest.raises(MissingError, match=r"(?s)cannot tell how to read pairs.*xlsx"):
        opened(TABLE.format("pairs.xlsx"))


def test_a_table_that_is_not_there():
    with pytest.raises(MissingError, match=r"pears\.csv"):
        opened(TABLE.format("pears.csv"))


def test_a_table_without_rows(media):
    put(media / "pairs.csv", "key,wav,jpg\n")
    with pytest.raises(DataError, match=r"(?s)no pairs of \[pairs\.mine\].*has no rows"):
        opened(TABLE.format("pairs.csv"))


def test_a_column_that_is_not_there(media):
    put(media / "pairs.csv", csv(rows()))
    with pytest.raises(DataError, match=r"(?s)'wave'.*(key|wav)"):
        opened(TABLE.format("pairs.csv").replace('"wav"', '"wave"'))


def test_the_folder_of_data_may_hold_them(media, tmp_path):
    put(tmp_path / "data" / "pairs.csv", csv(rows(2)))
    text = TABLE.format("$MOLSPACE_DATA/pairs.csv") + f'folder = "{media}"\n'
    assert len(load(text, data=tmp_path / "data").pairs_of("audio", "image")) == 2


def test_a_table_elsewhere_is_refused():
    lab = load(TABLE.format("https://host/p.csv"))
    with pytest.raises((UsageError, MissingError, DataError)):
        lab.pairs_of("audio", "image")
