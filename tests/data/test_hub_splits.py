"""What cards and names of files say of a data set's configurations and splits."""

from pathlib import Path

import pytest
from media_files import put

from reactions.core.errors import DataError, UsageError
from reactions.data.hub.card import CardConfig, matching, read_card
from reactions.data.hub.config import DatasetPlace
from reactions.data.hub.splits import (
    candidates,
    check_numbered,
    choose_config,
    choose_split,
    data_names,
    left_out,
    split_files,
)

NAMES = ["data/train-0.parquet", "data/test-0.parquet", "data/a/b/x.parquet", "x.parquet"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data/train-*", NAMES[:1]),
        ("./data/*.parquet", [NAMES[1], NAMES[0]]),
        ("*", ["x.parquet"]),
        ("**", sorted(NAMES)),
        ("data/**", [NAMES[2], NAMES[1], NAMES[0]]),
        ("**/x.parquet", [NAMES[2], NAMES[3]]),
        ("data/**/b/*", [NAMES[2]]),
        ("data/{train,test}-?.parquet", [NAMES[1], NAMES[0]]),
        ("data/[!t]*", []),
        ("data", []),
        ("data/train-0.parquet/**", []),
    ],
)
def test_patterns(pattern: str, expected: list[str]) -> None:
    assert matching(NAMES, pattern) == expected


def card(tmp_path: Path, head: str) -> list[CardConfig]:
    return read_card(put(tmp_path / "README.md", f"---\nlicense: mit\n{head}\n---\n# Photos\n"))


@pytest.mark.parametrize(
    ("files", "patterns"),
    [
        ("data_files: 'a/*'", {"train": ["a/*"]}),
        ("data_files: [a, b]", {"train": ["a", "b"]}),
        ("data_files: {train: a, test: [b, c]}", {"train": ["a"], "test": ["b", "c"]}),
        (
            "data_files: [{split: train, path: a}, {split: test, path: [b]}]",
            {"train": ["a"], "test": ["b"]},
        ),
        ("data_dir: d/\n  data_files: 'a'", {"train": ["d/a"]}),
        ("data_dir: d", {}),
    ],
)
def test_cards(tmp_path: Path, files: str, patterns: dict[str, list[str]]) -> None:
    (config,) = card(tmp_path, f"configs:\n- config_name: one\n  {files}")
    assert (config.name, config.patterns) == ("one", patterns)


@pytest.mark.parametrize(
    "head",
    [
        "configs: [x]",
        "configs: [{config_name: 3}]",
        "configs: [{data_files: 3}]",
        "configs: [{data_files: [{split: train}]}]",
        "configs: [{data_files: /etc/passwd}]",
        "configs: [{data_files: a/../../x}]",
        "configs: [{data_files: 'https://example.org/x'}]",
        f"configs: [{{data_files: '{'x' * 300}'}}]",
        f"configs: [{{data_files: '{'{a,b}' * 20}'}}]",
        "configs: [{",
        "configs: !!python/object/apply:os.system [x]",
    ],
)
def test_cards_that_cannot_be_used(tmp_path: Path, head: str) -> None:
    with pytest.raises(DataError):
        card(tmp_path, head)


def test_without_a_card(tmp_path: Path) -> None:
    assert read_card(tmp_path / "README.md") == []
    assert read_card(put(tmp_path / "README.md", "# Photos\nconfigs: none")) == []
    assert card(tmp_path, "tags: [a]") == []


def chosen(names: list[str], config: CardConfig, **place: object) -> tuple[str, ...]:
    dataset = DatasetPlace("o/n", **place)
    files = candidates(data_names(names), config)
    return choose_split(split_files(files, config, dataset), dataset)[1]


PLAIN = CardConfig("", {})


@pytest.mark.parametrize(
    ("names", "split", "expected"),
    [
        (["data/train-00000-of-00001.parquet"], (), ["data/train-00000-of-00001.parquet"]),
        (
            ["data/dogs-00000-of-00001-ab12.parquet", "data/cats-00000-of-00001-cd.parquet"],
            ("cats",),
            ["data/cats-00000-of-00001-cd.parquet"],
        ),
        (["a/val.parquet", "a/training.parquet"], ("validation",), ["a/val.parquet"]),
        (["train/1.parquet", "test/1.parquet"], ("train",), ["train/1.parquet"]),
        (["one.parquet", "two.parquet", "README.md", ".x"], (), ["one.parquet", "two.parquet"]),
        (["a.parquet", "note.json"], (), ["a.parquet"]),
        (
            ["train.parquet", "test.parquet"],
            ("test", "train"),
            ["test.parquet", "train.parquet"],
        ),
    ],
)
def test_splits_by_names(names: list[str], split: tuple[str, ...], expected: list[str]) -> None:
    assert list(chosen(names, PLAIN, splits=split)) == expected


@pytest.mark.parametrize(
    ("names", "config", "message"),
    [
        (["a.parquet", "b.parquet"], PLAIN, ""),
        (["a.csv", "b.JPG"], PLAIN, ""),
        (
            ["a.parquet", "b.csv", "c.JPG", "d.jpg", "README.md"],
            PLAIN,
            "its .parquet files are read, and 3 other files are left out (.jpg, .csv), "
            "but for those that rows name",
        ),
        (
            ["a.tar", "list"],
            PLAIN,
            "its .tar files are read, and 1 other file is left out (no ending)",
        ),
        (["x/a.tar", "y/b.csv"], CardConfig("c", {}, "x"), ""),
        (["a.tar", "b.csv"], CardConfig("c", {"train": ["a.tar"]}), ""),
        (
            ["a.tar", *(f"a.{number}" for number in range(7))],
            PLAIN,
            "its .tar files are read, and 7 other files are left out (.0, .1, .2, .3, .4, ...)",
        ),
    ],
)
def test_files_beside_parquet_and_tars_are_counted(
    names: list[str], config: CardConfig, message: str
) -> None:
    files = data_names(names)
    assert left_out(files, candidates(files, config), config) == message


def test_splits_that_are_not_clear() -> None:
    with pytest.raises(UsageError, match="has 2 splits"):
        chosen(["train.parquet", "test.parquet"], PLAIN)
    with pytest.raises(UsageError, match="no split 'trian'") as caught:
        chosen(["train.parquet"], PLAIN, splits=("trian",))
    assert "train" in caught.value.fix
    with pytest.raises(UsageError, match="no split") as caught:
        chosen(["train.parquet"], PLAIN, splits=("train[:10]",))
    assert "whole splits" in caught.value.fix
    with pytest.raises(DataError, match=r"which split of .* is"):
        chosen(["train/test.parquet"], PLAIN)
    with pytest.raises(DataError, match="has no files"):
        chosen(["a.parquet"], CardConfig("c", {"train": ["b/*"]}))


def test_a_numbered_file_that_is_missing() -> None:
    place = DatasetPlace("o/n")
    check_numbered([f"train-0000{i}-of-00002-x{i}.parquet" for i in range(2)], place)
    with pytest.raises(DataError, match="lacks 1 of 2 files"):
        check_numbered(["train-00001-of-00002.parquet"], place)


def test_configurations() -> None:
    first, two = CardConfig("one", {}), CardConfig("two", {}, is_default=True)
    assert choose_config([first, two], DatasetPlace("o/n")) is two
    assert choose_config([first, two], DatasetPlace("o/n", config="one")) is first
    assert choose_config([first], DatasetPlace("o/n")) is first
    with pytest.raises(UsageError, match="has 2 configurations"):
        choose_config([first, CardConfig("three", {})], DatasetPlace("o/n"))
    with pytest.raises(UsageError, match="no configuration 'tow'") as caught:
        choose_config([first, two], DatasetPlace("o/n", config="tow"))
    assert "two" in caught.value.fix
