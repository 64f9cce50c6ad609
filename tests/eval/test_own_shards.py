"""WebDataset shards as evaluation sets: pairs, classes, what is left out, and what is refused."""

import json

import pytest
from media_files import image_bytes, put, put_tar, sound_bytes

from reactions.core.errors import DataError, MissingError, MolspaceError, UsageError
from reactions.eval.own_data import own_captions
from reactions.labs.lab_file import load_lab
from reactions.labs.table_tasks import table_task


def sample(number, **files):
    """Return the files of one sample."""
    return {f"{number:04}.{ending.replace('_', '.')}": data for ending, data in files.items()}


def write(path, n=3, start=0, **more):
    members = {}
    for i in range(start, start + n):
        record = json.dumps({"caption": [f"one {i}", f"two {i}"], "n": i})
        members |= sample(i, png=image_bytes(i), txt=f"a {i}", json=record, **more)
    return put_tar(path, members)


@pytest.fixture
def lab(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return load_lab("mini")


def test_a_picture_and_its_caption(lab, tmp_path):
    table = table_task(lab, write(tmp_path / "web.tar"), "pairs")
    assert (table.section["image"], table.section["text"]) == ("png", "txt")
    assert table.notices == ("image: the column png", "text: the column txt")
    data = table.lab.benchmark("web")
    assert data.left.ids() == data.right.ids() == ["web/0000", "web/0001", "web/0002"]
    assert [item.value for item in data.right.items(0, 3)] == ["a 0", "a 1", "a 2"]
    assert data.left.items(0, 1)[0].value.read() == image_bytes(0)
    assert data.owner.tolist() == [0, 1, 2]


def test_captions_of_a_record_over_several_shards(lab, tmp_path):
    write(tmp_path / "web-0000.tar")
    write(tmp_path / "web-0001.tar", start=3)
    pattern = tmp_path / "web-{0000..0001}.tar"
    table = table_task(lab, pattern, "pairs", columns=["text=json.caption"])
    data = table.lab.benchmark(table.task.name)
    assert (len(data.left), len(data.right)) == (6, 12)
    assert data.owner.tolist() == [i for i in range(6) for _ in range(2)]
    assert [item.value for item in data.right.items(6, 8)] == ["one 3", "two 3"]
    (tmp_path / "molspace.toml").write_text('[lab]\nextends = "mini"\n' + table.toml)
    reloaded = load_lab()
    again = reloaded.benchmark(table.task.name)
    assert again.owner.tolist() == data.owner.tolist()
    captions = dict(own_captions(reloaded.own_tasks[table.task.name], reloaded.data))
    assert len(captions) == 12


def test_pictures_and_sounds(lab, tmp_path):
    path = write(tmp_path / "web.tar", wav=sound_bytes())
    columns = ["audio=wav", "image=png"]
    data = table_task(lab, path, "pairs", columns=columns).lab.benchmark("web")
    assert (data.left.modality, data.right.modality) == ("audio", "image")
    assert len(data.left) == len(data.right) == 3


def test_classes(lab, tmp_path):
    members = {}
    for i, label in enumerate(("cat", "dog", "cat")):
        members |= sample(
            i,
            png=image_bytes(i),
            cls=label,
            txt="a caption",
            json=json.dumps({"label": [label, "pet"]}),
        )
    path = put_tar(tmp_path / "c.tar", members)
    data = table_task(lab, path, "labels").lab.benchmark("c")
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="it has 2 classes; if that is meant"):
        table_task(lab, path, "labels", columns=["class=json.label"]).lab.benchmark("c")
    (tmp_path / "molspace.toml").write_text(
        '[lab]\nextends = "mini"\n[tasks.m]\nkind = "multilabel"\npath = "c.tar"\nimage = "png"\n'
        'class = "json.label"\n'
    )
    data = load_lab().benchmark("m")
    assert data.classes == ("cat", "dog", "pet")
    assert data.targets.sum(axis=1).tolist() == [2, 2, 2]


def test_samples_that_lack_a_file_are_counted(lab, tmp_path):
    members = {**sample(0, png=image_bytes(0), txt="a"), **sample(1, png=b"x", txt="b")}
    members |= {**sample(2, txt="c"), **sample(3, png=image_bytes(3), cls="d")}
    put_tar(tmp_path / "w.tar", members)
    section = '[tasks.w]\nkind = "retrieval"\npath = "w.tar"\nimage = "png"\ntext = "txt"\n'
    (tmp_path / "molspace.toml").write_text(
        f'[lab]\nextends = "mini"\n{section}max_bad = 0.5\nskip = ["0003"]\n'
    )
    data = load_lab().benchmark("w")
    assert data.left.ids() == data.right.ids() == ["w/0000"]
    assert data.expected == 4
    assert {bad.id: bad.why for bad in data.left.bad()}["w/0002"] == "it has no png, but txt"
    (tmp_path / "molspace.toml").write_text(f'[lab]\nextends = "mini"\n{section}')
    with pytest.raises(DataError, match="2 of 4 image items cannot be used"):
        load_lab().benchmark("w")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["image=jpg"]}, "has no column 'jpg'"),
        ({"columns": ["audio=png"]}, "no audio file ends so"),
        ({"columns": ["image=png", "text=json.n"]}, "3 of 3 text items"),
        ({"folder": "."}, "folder says nothing about the shards"),
        ({"id_column": "json.n"}, "id says nothing about the shards"),
        ({"where": ["split=test"]}, "has no column 'split'"),
        ({"columns": ["text=txt", "text=json.caption", "image=png"]}, "names 2 endings"),
    ],
)
def test_what_does_not_go_with_shards(lab, tmp_path, options, message):
    path = write(tmp_path / "web.tar")
    with pytest.raises(MolspaceError) as refused:
        table_task(lab, path, "pairs", **options).lab.benchmark("web")
    assert message in str(refused.value)


def test_shards_that_are_not_there_or_not_clear(lab, tmp_path):
    with pytest.raises(MissingError):
        table_task(lab, tmp_path / "gone.tar", "pairs")
    put_tar(tmp_path / "t.tar", sample(0, txt="a"))
    with pytest.raises(
        UsageError, match=r"cannot tell which columns of 't\.tar' hold 2 modalities"
    ):
        table_task(lab, tmp_path / "t.tar", "pairs")
    put(tmp_path / "x.tar", b"not a tar at all" * 100)
    with pytest.raises(DataError):
        table_task(lab, tmp_path / "x.tar", "pairs")


def test_samples_of_one_key(lab, tmp_path):
    write(tmp_path / "a-0.tar", n=1)
    members = sample(0, png=image_bytes(5), json=json.dumps({"caption": ["x"]}))
    put_tar(tmp_path / "a-1.tar", members)
    pattern = tmp_path / "a-{0..1}.tar"
    table = table_task(lab, pattern, "pairs", columns=["image=png", "text=json.caption"])
    with pytest.raises(DataError, match=r"samples of several shards .* have one key"):
        table.lab.benchmark(table.task.name)
