"""What the help says of how long something takes is what the page of measurements says."""

from pathlib import Path

from molspace_cli import findings
from reactions.experiments.paper.spaces import EXPERTISE, SETTINGS, VERSATILE

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"
SECONDS_A_SEED = "about 250 seconds a seed on one core"


def test_findings_take_as_long_in_the_help_as_on_their_page():
    assert SECONDS_A_SEED in " ".join(findings.findings.__doc__.split())
    assert SECONDS_A_SEED in " ".join(PAGE.read_text(encoding="utf-8").split())


def test_the_paper_s_two_settings_are_explained_where_they_are_printed():
    assert VERSATILE == {"": (0.5, 0.1)}
    assert EXPERTISE == {"": (0.8, 0.5)}
    versatile, expertise = SETTINGS
    assert versatile == '"Ver." is the versatile setting: sigma 0.5 for audio, 0.1 for text'
    assert expertise == '"AT E." is the audio-text expertise: sigma 0.8 for audio, 0.5 for text'
