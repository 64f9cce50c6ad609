"""docs/python.md: its code runs, on a smaller copy of the mini lab; typed programs are checked."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_sets import load_small_lab
from small_world import LAB

import reactions
from reactions.api import FusedSpace

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

TYPED = """
import numpy as np
from numpy.typing import NDArray

import reactions
from reactions import Cr, Dr, FusedSpace, Item, Space, Waveform


def nearest(fused: FusedSpace, texts: list[str], image: NDArray[np.uint8]) -> list[str]:
    found = fused.similarity(text=texts, image=[image], sigma={"CLAP_m": 0.5})
    return [label for own in found.best(1) for label, _ in own]


def main() -> None:
    reaction = Space("ImageBind") + Dr("InternVL") | Cr("CLAP_m") & Cr("CLAP_g")
    print(len(reactions.plan(reaction)), reactions.spaces().specs["CLAP_m"].dim)
    fused = reactions.react(reaction, progress=False)
    with reactions.load(fused.path) as again:
        rows: NDArray[np.float32] = again.embed(text=["rain"], sigma=(0.8, 0.5))["text"]
        print(rows.shape, nearest(again, ["rain"], np.zeros((4, 4, 3), np.uint8)))
        again.embed(audio=[Waveform(np.zeros(8, np.float32), 16_000), Item("a", "audio", None)])
        projected = again.project(text={"ImageBind": rows})
        scores = again.evaluate(["esc50"], pairs="pairs.csv", ties="lenient", metrics="MRR")
        for score in scores:
            value: float = score.value
            print(score.task, score.main, value, score.metrics["accuracy"])
        swept = again.sweep("esc50", sigma={"audio": [0, 0.5, 1]}, experts=[["CLAP_m"]])
        made = again.index("index", corpora="image")
        for own in again.search(made, text=["rain"], into="image", k=3):
            for hit in own.hits:
                print(own.query, hit.rank, hit.score, hit.item.label)
        named = again.classify("kb", classes=["dog"], image=["a.png"])
        print(swept.best("esc50")["score"], named[0].classes, projected.labels)
"""


def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples" / "sample", tmp_path / "examples" / "sample")
    lab = tmp_path / "small.toml"
    lab.write_text(LAB)

    def load_lab(name=None, **options):
        return load_small_lab(lab)

    for module in ("running", "previews"):
        monkeypatch.setattr(f"reactions.api.{module}.load_lab", load_lab)
    names: dict = {}
    for block in BLOCKS:
        if "import Dataset" not in block or importlib.util.find_spec("datasets"):
            exec(block, names)
    assert names["rows"]["text"].shape == (2, names["fused"].dim)
    np.testing.assert_array_equal(names["same"][0], names["same"][1])
    np.testing.assert_array_equal(names["same"][0], names["same"][2])
    assert repr(names["similar"]).splitlines()[:2] == [
        f"text x image, cosines   lab: {names['fused'].lab}",
        "text       0",
    ]
    assert [len(result.hits) for result in names["hits"]] == [3]
    assert capsys.readouterr().out == "unknown task 'esc5'; did you mean 'esc50'?\n"


def test_methods_and_functions_are_on_the_page():
    methods = [name for name in dir(FusedSpace) if not name.startswith("_")]
    functions = [name for name in reactions.__all__ if name.islower()]
    missing = [name for name in [*methods, *functions] if not re.search(rf"\b{name}\b", PAGE)]
    assert missing == []


UNSEEN = "mypy-torch.*,mypy-onnx.*,mypy-onnxscript.*,mypy-matplotlib.*"


def check(folder, code):
    """Check a user's program with mypy, apart from the libraries that it uses."""
    (folder / "program.py").write_text(code)
    # Nine in ten of the files that mypy would read are of packages the program never sees.
    (folder / "mypy.ini").write_text(f"[mypy]\n[{UNSEEN}]\nfollow_imports = skip\n")
    return subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
            *("--config-file", str(folder / "mypy.ini"), "--cache-dir", str(folder / "cache")),
            str(folder / "program.py"),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_typed_programs_are_checked(tmp_path):
    pytest.importorskip("mypy")
    process = check(tmp_path, TYPED)
    assert process.returncode == 0, process.stdout
    wrong = TYPED.replace("score.value\n", "score.valeu\n").replace('"lenient"', '"lenientt"')
    process = check(tmp_path, wrong)
    assert process.returncode == 1
    assert 'has no attribute "valeu"' in process.stdout
    assert "incompatible type \"Literal['lenientt']\"" in process.stdout
