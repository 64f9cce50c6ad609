"""The page about centres: what it shows of Python runs, and names what is there."""

import re
from pathlib import Path

import numpy as np

from reactions.core.centre_options import RULES, SELECTIONS
from reactions.eval.baselines import CLASS_ROWS

PAGE = (Path(__file__).parents[2] / "docs" / "centres.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    rows = np.eye(2, 128, dtype=np.float32)
    code, last = code.rsplit("\nnaming.best", 1)
    names = {"rows": rows}
    exec(code, names)
    assert names["result"].record["centres"]["k"] == 50
    best = eval("naming.best" + last.partition("#")[0], names)
    assert [len(classes) for classes in best] == [2, 2]


def test_every_row_selection_and_rule_has_its_line():
    for name in (*CLASS_ROWS, *(f"`{selection}`" for selection in SELECTIONS)):
        assert f"\n| {name}" in PAGE, name
    for rule in RULES:
        assert f"\n| `{rule.replace('top-m', 'top-20')}`" in PAGE, rule
