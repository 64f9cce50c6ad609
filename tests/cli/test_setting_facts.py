"""What a table says of a score that is not zero-shot."""

import pytest

from molspace_cli.setting import setting_facts

ENTRY = {"corpus": "world:event", "scored": 0}


@pytest.mark.parametrize(
    ("record", "facts"),
    [
        ({"setting": "zero-shot"}, []),
        ({"setting": "zero-shot", "trained_on": [ENTRY]}, []),
        ({"setting": "fine-tuned", "trained_on": [ENTRY, ENTRY]}, ["fine-tuned on world:event"]),
        (
            {"setting": "fine-tuned", "trained_on": [{**ENTRY, "scored": 1600}]},
            ["fine-tuned on world:event", "TRAINED ON 1,600 OF THE SCORED ITEMS"],
        ),
        (
            {"setting": "trained on labels of these classes", "trained_on": [ENTRY]},
            ["trained on labels of these classes"],
        ),
        (
            {"setting": "unknown", "trained_on": [{**ENTRY, "scored": None}]},
            ["zero-shot or fine-tuned: unknown"],
        ),
        ({}, []),
    ],
)
def test_what_is_not_zero_shot_is_said(record, facts):
    assert setting_facts(record) == facts
