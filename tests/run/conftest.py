"""What executors are compared with."""

import pytest
from small_reaction import react


@pytest.fixture(scope="session")
def made_locally(tmp_path_factory):
    """Digest and store of the small reaction, by this machine's own executor."""
    digest, stored, _ = react(tmp_path_factory.mktemp("locally"))
    assert len(stored) > 10
    return digest, stored
