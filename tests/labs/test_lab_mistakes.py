import os
from pathlib import Path

import pytest
from lab_files import SPACE, refused, write

from reactions.core.errors import DataError, UsageError
from reactions.labs.lab_file import load_lab

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[lap]", r"unknown key lap.*did you mean 'lab'"),
        ("[lab]\nsed = 1", r"unknown key lab\.sed.*did you mean 'seed'"),
        ("[reaction]\nepochs = 1", r"unknown key reaction\.epochs.*'dr_epochs'"),
        ("[factors]\nsigm = 1", r"unknown key factors\.sigm.*'sigma'"),
        ("[corpora.text]\nmanifst = 'x'", r"unknown key corpora\.text\.manifst.*'manifest'"),
        (SPACE + "dims = 3", r"unknown key spaces\.Mine\.dims.*'dim'"),
        ("[spaces.X]\npath = 'x'\ndim = 3", r"unknown key spaces\.X\.dim"),
    ],
)
def test_unknown_keys_get_a_suggestion(text, words):
    assert str(Path("molspace.toml").absolute()) in refused(text, words).what


def test_keys_that_are_possible_are_listed_once():
    fix = refused("[corpora.text]\npath = 'x'\nzzzzzz = 1", "unknown key").fix
    keys = fix.removeprefix("one of: ").split(", ")
    assert len(keys) == len(set(keys)) > 9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lab = 1", "'lab' is not a table"),
        ("reaction = []", "'reaction' is not a table"),
        ("[factors]\nmean = 'untit'", r"factors\.mean is 'untit'.*'unit'"),
        ("[factors]\nmaen = 'unit'", r"unknown key factors\.maen.*'mean'"),
        ("[factors]\nmean = 10", r"factors\.mean is '10'.*eq10"),
        ("factors = 1", "'factors' is not a table"),
        ("spaces = 1", "'spaces' is not a table"),
        ("[spaces]\nX = 1", r"'spaces\.X' is not a table.*\[spaces\.X\], and below it path ="),
        ("corpora = 1", "'corpora' is not a table"),
        ("[corpora]\ntext = 'x'", r"'corpora\.text' is not a table"),
        ("[factors]\nsigma = 0.5", r"'factors\.sigma' is not a table"),
        ("[lab]\nname = 1", r"lab\.name must be a string, not 1"),
        ("[lab]\nlabel = true", r"lab\.label must be a string"),
        ("[lab]\nseed = '1'", r"lab\.seed must be a whole number, not '1'"),
        ("[lab]\nseed = 1.5", r"lab\.seed must be a whole number"),
        ("[lab]\nseed = true", r"lab\.seed must be a whole number"),
        ("[lab]\nseed = -1", "lab.seed is -1"),
        ("[lab]\nworld_tasks = 'no'", r"lab\.world_tasks must be true or false, not 'no'"),
        ("[reaction]\nhidden_dim = 1.5", r"reaction\.hidden_dim must be a whole number"),
        ("[reaction]\nhidden_dim = true", r"reaction\.hidden_dim must be a whole number"),
        ("[reaction]\nlearning_rate = '1'", r"reaction\.learning_rate must be a number"),
        ("[reaction]\nhidden_dim = 0", r"reaction\.hidden_dim is 0.*above 0"),
        ("[reaction]\nlearning_rate = -1.0", r"reaction\.learning_rate is -1"),
        ("[reaction]\nlearning_rate = nan", r"reaction\.learning_rate is nan"),
        ("[reaction]\nlearning_rate = inf", r"reaction\.learning_rate is inf"),
        ("[reaction]\nbatch_size = 1", r"reaction\.batch_size is 1"),
        (
            "[reaction]\ndtype = 'bfloat16'",
            r"reaction\.dtype is 'bfloat16'.*'float16' or 'float32'",
        ),
        ("[factors.sigma]\naudio = 1.5", r"factors\.sigma\.audio must be 0 to 1, not 1.5"),
        ("[factors.lambda]\nother = -0.1", r"factors\.lambda\.other must be 0 to 1"),
        ("[factors.sigma]\naudio = nan", "must be 0 to 1, not nan"),
        ("[factors.sigma]\naudio = true", r"factors\.sigma\.audio must be a number, not True"),
        ("[factors.sigma]\naudio = 'x'", r"factors\.sigma\.audio must be a number"),
        ("[corpora.text]", r"corpora\.text needs either world, manifest, dataset or path"),
        ("[corpora.text]\nworld = 1\nmanifest = 'x'", "takes nothing beside world"),
        (
            "[corpora.text]\npath = 'x'\nmanifest = 'x'",
            "needs either world, manifest, dataset or path",
        ),
        ("[corpora.text]\nmax_bad = 0.1", "needs either world, manifest, dataset or path"),
        ("[corpora.text]\npath = ''", r"corpora\.text\.path is empty"),
        ("[corpora.text]\npath = ['a', 3]", r"corpora\.text\.path must be a string, not 3"),
        ("[corpora.text]\npath = 'x'\nmax_bad = 2", r"max_bad must be a share from 0 to 1"),
        ("[corpora.text]\npath = 'x'\nmax_bad = true", r"max_bad must be a number, not True"),
        ("[corpora.text]\npath = 'x'\ncheck = 'ful'", r"check is 'ful'.*did you mean 'full'"),
        ("[corpora.text]\npath = 'x'\ncolum = 'y'", r"corpora\.text\.colum.*'column'"),
        ("[corpora.text]\nmanifest = 'x'\ncolumn = 'y'", r"column goes with path"),
        ("[corpora.text]\npath = 'x'\nskip = [1]", r"skip must be a string, not 1"),
        ("[corpora]\ntext = []", r"corpora\.text is an empty list"),
        ("[[corpora.text]]\nworld = 3", r"corpora\.text\[0\] needs either"),
        ("[[corpora.text]]\npath = 'x'\n[[corpora.text]]\npat = 'x'", r"corpora\.text\[1\]\.pat"),
        ("[data]\nrot = 'x'", r"unknown key data\.rot.*'root'"),
        ("[data]\nroot = 3", r"data\.root must be a string"),
        ("[data.esc5]\npath = 'x'", r"unknown key data\.esc5.*'esc50'"),
        ("[data.esc50]", r"data\.esc50\.path is missing"),
        ("[data]\nesc50 = 'x'", r"'data\.esc50' is not a table"),
        ("[data.esc50]\nfolder = 'x'", r"unknown key data\.esc50\.folder"),
        ("[corpora.text]\nworld = 'all'", r"corpora\.text\.world must be a whole number"),
        ("[corpora.text]\nmanifest = 3", r"corpora\.text\.manifest must be a string"),
        (SPACE.replace("12", "'12'"), r"spaces\.Mine\.dim must be a whole number"),
        (SPACE.replace("12", "0"), r"spaces\.Mine needs a dim above 0"),
        (SPACE.replace('["text", "audio"]', '"audio"'), r"modalities must be a list, not 'audio'"),
        (SPACE.replace('["text", "audio"]', "[1]"), r"modalities must be a string, not 1"),
        (SPACE.replace('["text", "audio"]', "[]"), "at least one modality"),
        (SPACE.replace("dim = 12", ""), r"spaces\.Mine\.dim is missing.*path"),
        (SPACE + "preprocessing = 'x'", r"spaces\.Mine\.preprocessing must be a table"),
        (SPACE + "preprocessing = {text = 1}", r"preprocessing\.text must be a string"),
        (SPACE + "flops = {text = 'x'}", r"flops\.text must be a number"),
        (SPACE + "hub = 'image'", r"hub names 'image', which is none of its modalities"),
        (SPACE + "preprocessing = {txt = 'x'}", r"names 'txt'.*did you mean 'text'"),
        (SPACE + "hub = 1", r"spaces\.Mine\.hub must be a string"),
        ("[spaces.X]\npath = 1", r"spaces\.X\.path must be a string"),
        ("[lab", "is not valid TOML"),
        ("x = " + "[" * 5000, "is not valid TOML"),
    ],
)
def test_wrong_values_are_refused(text, words):
    refused(text, words)


def test_messages_name_the_file():
    for text in ("[lab]\nseed = 'x'", "[reaction]\nhidden_dim = 0", "[lab", SPACE + "hub = 'x'"):
        assert str(Path("molspace.toml").absolute()) in refused(text, "").what


def test_a_file_that_is_not_text():
    Path("molspace.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not valid TOML"):
        load_lab()


def test_a_file_that_cannot_be_read(monkeypatch):
    write("")

    def refuse(path, *options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DataError, match=r"(?s)cannot read.*Permission denied"):
        load_lab()


def test_an_empty_world_is_an_empty_corpus():
    refused("[corpora.text]\nworld = 0", "the text corpus is empty", DataError)
