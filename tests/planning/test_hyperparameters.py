"""A hyper-parameter is one field: lab files, plans, keys and training take it from there."""

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from planning import SETTINGS, keys, lab, plan

from reactions.core.settings import Hyperparameters

WITH_ONE_MORE = """
    import sys, types
    from pathlib import Path

    # The module as it would be with one more field.
    source = Path({path!r}).read_text()
    field = "    learning_rate: float = setting(1e-3"
    assert source.count(field) == 1
    new = '    weight_decay: float = setting(0.0, "Of Adam.", ge=0, metadata=UNLESS_DEFAULT)'
    source = source.replace(field, new + chr(10) + field)
    module = types.ModuleType("reactions.core.settings")
    from reactions.core.step import UNLESS_DEFAULT
    module.UNLESS_DEFAULT = UNLESS_DEFAULT
    sys.modules[module.__name__] = module
    exec(compile(source, {path!r}, "exec"), module.__dict__)

    sys.path.insert(0, {support!r})
    from dataclasses import replace
    from planning import SETTINGS, lab, plan
    from reactions.labs.lab_file import load_lab
    from reactions.planning.training import settings_record

    Path("lab.toml").write_text(
        '[lab]\\nname = "own"\\nextends = "mini"\\n[reaction]\\nweight_decay = 0.25\\n'
    )
    assert load_lab("lab.toml").settings.weight_decay == 0.25
    for value in (0.0, 0.25):
        settings = replace(SETTINGS, weight_decay=value)
        trained = [s for s in plan(laboratory=lab(settings=settings)).steps() if s.kind == "train"]
        assert {{step.settings.weight_decay for step in trained}} == {{value}}
        records = trained[0].preimage["params"], settings_record(settings)
        print(trained[0].key, *("weight_decay" in record for record in records))
"""


def test_one_more_field_is_all_that_a_further_one_takes(tmp_path):
    root = Path(__file__).parents[2]
    code = WITH_ONE_MORE.format(
        path=str(root / "reactions" / "core" / "settings.py"), support=str(root / "tests/support")
    )
    code = "\n".join(line.removeprefix("    ") for line in code.splitlines())
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    default, changed = (line.split() for line in process.stdout.splitlines())
    (key, *_) = [step.key for step in plan().steps() if step.kind == "train"]
    assert default == [key, "False", "False"]  # results of before stay
    assert changed[0] != key
    assert changed[1:] == ["True", "True"]


@pytest.mark.parametrize("name", [entry.name for entry in fields(Hyperparameters)])
def test_every_one_reaches_training_and_its_key(name):
    value = 2 * getattr(SETTINGS, name)
    other = plan(laboratory=lab(settings=replace(SETTINGS, **{name: value})))
    trained = [step for step in other.steps() if step.kind == "train"]
    assert {getattr(step.settings, name) for step in trained} == {value}
    before = keys(plan())
    assert not {step.key for step in trained} & set(before.values())
