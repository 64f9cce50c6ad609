"""A wrong value in a lab file is refused by its key, with what was probably meant."""

import pytest

from reactions.core.errors import MissingError, UsageError
from reactions.labs.lab_file import load_lab

HEAD = '[lab]\nextends = "mini"\n'
VALUES = [
    ("seed = -1", "lab.seed is -1", "0, or another"),
    ('seed = "x"', "lab.seed must be a whole number, not 'x'", ""),
    ('[reaction]\nprecision = "exat"', "reaction.precision is 'exat'", "did you mean 'exact'"),
    ('[reaction]\ndtype = "float61"', "reaction.dtype is 'float61'", "'float16'"),
    ('[reaction]\nsubsets = "al"', "reaction.subsets is 'al'", "did you mean 'all'"),
    ("[reaction]\nholdout = 2", "reaction.holdout is 2", ""),
    ('[reactoin]\nprecision = "exact"', "unknown key reactoin", "did you mean 'reaction'"),
    ('[reaction]\nprecison = "exact"', "unknown key reaction.precison", "did you mean 'precision'"),
    ('[tuning]\nheads = "onl"', "tuning.heads is 'onl'", "did you mean 'only'"),
    ("[lcl]\ntemperature = -1", "lcl.temperature is -1", ""),
    ('[data.esc51]\npath = "x"', "unknown key data.esc51", "did you mean 'esc50'"),
    ('[corpora.txt]\npath = "x.txt"', "[corpora.txt]", "did you mean 'text'"),
    ('[tasks.x]\nkind = "retreival"', "tasks.x.kind is 'retreival'", "did you mean 'retrieval'"),
]


@pytest.mark.parametrize(("text", "what", "fix"), VALUES, ids=[text for text, _, _ in VALUES])
def test_the_error_names_file_and_key(tmp_path, text, what, fix):
    (tmp_path / "own.toml").write_text(f"{HEAD}{text}\n")
    with pytest.raises(UsageError) as caught:
        load_lab(str(tmp_path / "own.toml"))
    assert caught.value.what.startswith(f"{tmp_path}/own.toml: ")
    assert what in caught.value.what
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("text", "open_it", "message"),
    [
        (
            '[corpora.text]\npath = "nope.txt"',
            lambda lab: lab.corpus("text"),
            "check the path: under [corpora.text] of the lab file",
        ),
        (
            '[kb.x]\npath = "nope.parquet"',
            lambda lab: lab.knowledge("x"),
            "check path under [kb.x] of the lab file",
        ),
        (
            '[data.esc50]\npath = "nope"',
            lambda lab: lab.benchmark("esc50"),
            "nope (which is not there)",
        ),
        (
            '[data]\nroot = "nope"',
            lambda lab: lab.benchmark("esc50"),
            "nope (which is not there)",
        ),
    ],
)
def test_a_path_that_leads_nowhere(tmp_path, text, open_it, message):
    (tmp_path / "own.toml").write_text(f"{HEAD}{text}\n")
    lab = load_lab(str(tmp_path / "own.toml"))
    with pytest.raises(MissingError) as caught:
        open_it(lab)
    assert message in str(caught.value)
