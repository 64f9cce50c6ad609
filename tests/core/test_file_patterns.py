import glob
import os

import pytest

from reactions.core.errors import DataError
from reactions.core.file_patterns import matching
from reactions.core.storage import find

FILES = ("a.png", "b.PNG", ".hidden.png", "x/a.png", "x/y/a.png", "x/.y/a.png", "[1]/c.png", "z/e")


@pytest.fixture
def tree(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "far").symlink_to("x/y")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    return tmp_path


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "*.png",
            "*",
            "?.png",
            "[ab].*",
            "**",
            "**/*",
            "**/*.png",
            "**/a.png",
            "x/**",
            "x/*/a.png",
        ),
        *("**/y/*", "**/y/**/a.png", "**/**/a.png", ".*", "x/.*/*", "[[]1]/*", "*/", "nothing/*"),
        *("a.png/*", "x/*/nothing", "gone*", "**/y", "far/*", "**a.png"),
    ],
)
def test_patterns_match_what_those_of_glob_do(tree, pattern):
    expected = glob.glob(f"{tree}/{pattern}", recursive=True)  # noqa: PTH207
    assert matching(f"{tree}/{pattern}") == sorted(tree / path for path in set(expected))


def test_links_are_not_followed_in_circles(tree):
    (tree / "x" / "up").symlink_to("..")
    (tree / "x" / "y" / "top").symlink_to(tree)
    (tree / "itself").symlink_to("itself")
    paths = [str(path.relative_to(tree)) for path in matching(f"{tree}/**/a.png")]
    assert paths == ["a.png", "far/a.png", "x/a.png", "x/y/a.png"]


def test_files_of_a_pattern_and_links_to_nothing(tree):
    assert [(entry.name, entry.size_bytes) for entry in find(f"{tree}/*.png")] == [
        ("a.png", 5),
        ("gone.png", 0),
    ]


def test_a_folder_that_cannot_be_read_is_not_left_out(tree, monkeypatch):
    listed = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("/y"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"cannot read '.*/y'"):
        find(f"{tree}/**/*.png")
