"""What Lcl says: written, read, printed, built in Python."""

import pytest
from dsl_catalogue import CATALOGUE

from reactions.core.errors import UsageError
from reactions.core.factor_defaults import FactorDefaults
from reactions.core.lcl_options import LclOptions
from reactions.core.lcl_settings import PRESETS, LclSettings, preset_named
from reactions.dsl import Lcl, Space, check, parse
from reactions.eval.registry import get_task, task_names


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (
            "A + Lcl(kb, norms=unit, modalities=(point, event), epochs=3.0, temperature=1.0)",
            "A + Lcl(kb, temperature=1, epochs=3, modalities=(event, point), norms=unit)",
        ),
        ("A + Lcl(kb, preset='in-1k')", 'A + Lcl(kb, preset="IN-1K")'),
        ("A + Lcl(kb, preset=esc50, symmetric=false)", "A + Lcl(kb, symmetric=false, preset=ESC)"),
        ("A + Lcl(kb, modalities=(event,))", "A + Lcl(kb, modalities=event)"),
    ],
)
def test_it_is_printed_in_one_way(text, printed):
    assert str(parse(text).result) == printed
    assert parse(printed).result == parse(text).result


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (
            Space("A") + Lcl("kb", lr=0.01, symmetric=True, modalities=["point", "event"]),
            "A + Lcl(kb, symmetric=true, lr=0.01, modalities=(event, point))",
        ),
        (Space("A") + Lcl("kb", preset="ncaltech101"), 'A + Lcl(kb, preset="N-cal")'),
        (Space("A") | Lcl("a/kb.parquet"), 'A | Lcl("a/kb.parquet")'),
    ],
)
def test_operators_build_what_the_parser_builds(expression, text):
    assert expression == parse(text).result


@pytest.mark.parametrize(
    ("build", "what", "fix"),
    [
        (lambda: Lcl("kb", temperature=True), "temperature is 'True'", "temperature=0.1"),
        (lambda: Lcl("kb", symmetric=1), "symmetric is 1", "symmetric=true"),
        (lambda: Lcl("kb", modalities=()), "modalities is empty", "leave it out"),
        (lambda: Lcl("kb", modalities=["a b"]), "'a b' is not a modality name", ""),
        (lambda: Lcl("kb", preset=3), "no preset is called '3'", "one of: "),
        (lambda: Lcl("kb", batch=float("nan")), "batch is nan", "batch=64"),
    ],
)
def test_mistakes_in_python(build, what, fix):
    with pytest.raises(UsageError) as caught:
        build()
    assert what in caught.value.what
    assert fix in caught.value.fix


def test_its_type():
    def space(text):
        return check(parse(text), CATALOGUE, factors=FactorDefaults()).space

    assert space("ImageBind + Lcl(kb)").options == LclOptions()
    learnt = space("ImageBind + Lcl(kb, targets=labels, modalities=audio, batch=32)")
    assert learnt.options == LclOptions(targets="labels", modalities=("audio",), batch=32)
    assert learnt.learning is learnt.options
    assert (learnt.dim, learnt.modalities) == (128, ("audio", "image", "text"))
    with pytest.raises(TypeError):
        _ = learnt.tuning
    with pytest.raises(TypeError):
        _ = space("ImageBind + Ft(audio~image)").learning


def test_presets_are_those_of_the_papers_table():
    # UniBind, supplement, table 1: batch size, learning rate, epochs.
    table = {
        "IN-1K": (1024, 5e-4, 15),
        "P365": (1024, 5e-5, 20),
        "cal": (128, 1e-4, 20),
        "ModelNet40": (128, 5e-5, 10),
        "ShapeNet": (128, 5e-5, 10),
        "ESC": (64, 1e-4, 10),
        "Urban-S": (64, 1e-4, 10),
        "LLVIP": (64, 1e-3, 20),
        "RGB-T": (64, 5e-3, 20),
        "MSR-VTT": (128, 5e-4, 20),
        "UCF-101": (128, 5e-4, 20),
        "N-cal": (128, 1e-4, 20),
        "N-IN-1K": (1024, 5e-4, 15),
    }
    assert set(PRESETS) == set(table)
    for name, numbers in table.items():
        settings = LclSettings(**PRESETS[name])
        assert (settings.batch_size, settings.learning_rate, settings.epochs) == numbers
        assert (settings.temperature, settings.symmetric, settings.duplicates) == (
            1,
            False,
            "negatives",
        )
        assert (settings.init, settings.weight_decay, settings.clip_norm) == ("default", 0.01, 1)


def test_a_task_names_its_preset():
    tasks = [get_task(name) for name in task_names()]
    classified = [t.name for t in tasks if "unibind" in t.groups and t.kind == "classification"]
    assert {preset_named(name) for name in classified} == set(PRESETS)
