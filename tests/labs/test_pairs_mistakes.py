"""Mistakes under ``[pairs.NAME]``: what is wrong is said, with the key."""

import pytest
from lab_files import refused

pytestmark = pytest.mark.usefixtures("own_folder")

MINE = '[pairs.mine]\npath = "p.csv"\naudio = "a"\nimage = "b"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINE.replace("path", "paths"), r"unknown key pairs\.mine\.paths.*'path'"),
        (MINE.replace("audio", "audoi"), r"unknown key pairs\.mine\.audoi.*'audio'"),
        (MINE.replace("image", "img"), r"unknown key pairs\.mine\.img.*'image'"),
        (MINE + "defualt = true", r"unknown key pairs\.mine\.defualt.*'default'"),
        (MINE + "max_bda = 0.1", r"unknown key pairs\.mine\.max_bda.*'max_bad'"),
        (MINE + "folders = 'x'", r"unknown key pairs\.mine\.folders.*'folder'"),
        (MINE + "by_ids = true", r"unknown key pairs\.mine\.by_ids.*'by_id'"),
        (MINE.replace("audio", "sound"), r"unknown key pairs\.mine\.sound.*modalities: .*audio"),
        (MINE + "second = 3", r"unknown key pairs\.mine\.second.*'seconds'"),
        (MINE + "chek = 'full'", r"unknown key pairs\.mine\.chek.*'check'"),
        (MINE + "check = 'ful'", r"pairs\.mine\.check is 'ful'.*'full'"),
        (MINE + "max_bad = 2.0", r"pairs\.mine\.max_bad must be a share"),
        (MINE + "seconds = 3.0", r"pairs\.mine\.seconds goes with video"),
        (MINE + "clip_at = 0.1", r"pairs\.mine\.clip_at goes with video"),
        (MINE + "world = 3", r"pairs\.mine takes nothing beside world"),
        (MINE + "seen_by = 'x'", r"pairs\.mine takes nothing beside world"),
        (MINE + "text = 'c'", r"pairs\.mine is of audio and image and text; pairs are of two"),
        (MINE + "video = 'c'", r"pairs\.mine\.video gives a sound and a picture"),
        (MINE + "header = false", r"pairs\.mine\.audio is 'a', but with header = false"),
        (MINE + "by_id = true\nid = 'x'", r"pairs\.mine\.id does not go with by_id"),
        (MINE + "by_id = true\nskip = 'x'", r"pairs\.mine\.skip does not go with by_id"),
        (MINE.replace('"a"', '["a", "b"]'), r"pairs\.mine\.audio names 2 columns"),
        (MINE.replace('"a"', "-1"), r"pairs\.mine\.audio is -1"),
        (MINE.replace('path = "p.csv"\n', ""), r"pairs\.mine\.path is missing"),
        ('[pairs.mine]\npath = "p.csv"\naudio = "a"', r"pairs\.mine is of audio; pairs are of two"),
        ('[pairs.mine]\npath = "p.csv"', r"pairs\.mine is of no modality"),
        ("[pairs.mine]", r"pairs\.mine is of no modality"),
        ("[pairs.mine]\nvideo = 3", r"pairs\.mine\.video is 3, which is not a path"),
        ("[pairs.mine]\nvideo = 'v'\nseconds = 0.0", r"pairs\.mine\.seconds must be above 0"),
        ("[pairs.mine]\nvideo = 'v'\nseconds = 3601.0", r"pairs\.mine\.seconds .*at most 3600"),
        ("[pairs.mine]\nvideo = 'v'\nclip_at = 2", r"pairs\.mine\.clip_at must be a share"),
        ("[pairs.mine]\nvideo = 'v'\nid = 'x'", r"pairs\.mine\.id goes with path"),
        ("[pairs.mine]\nvideo = 'v'\nby_id = true", r"pairs\.mine\.by_id goes with path"),
        ("[pairs.mine]\nvideo = []", r"pairs\.mine\.video is an empty list"),
        ("[pairs.mine]\nvideo = 'ftp2://h/x'", r"pairs\.mine\.video: .*ftp2"),
        (MINE + "folder = 's3://b/x'", r"pairs\.mine\.folder is the address"),
        (MINE.replace("p.csv", "ftp2://x/p.csv"), r"pairs\.mine\.path: .*ftp2"),
        ("[[pairs.mine]]\nworld = 3", "'pairs.mine' is not a table"),
    ],
)
def test_mistakes(text, words):
    refused(text, words)
