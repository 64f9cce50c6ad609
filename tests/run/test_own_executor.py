"""An executor of another package: the example, installed, makes what the built-in one makes."""

from pathlib import Path

import pytest
from installed import install_example
from small_reaction import react

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_executor"


@pytest.mark.slow
def test_the_example_makes_what_the_local_executor_makes(made_locally, tmp_path):
    install_example(tmp_path / "site", EXAMPLE)
    digest, stored, _ = react(tmp_path, "processes", "cpu,cpu", site=tmp_path / "site")
    assert (digest, stored) == made_locally
