import pytest
from fused_toys import fused_toy, train_toy, use_counted


@pytest.fixture
def loaded(monkeypatch):
    """The names of the spaces that were loaded, in order."""
    return use_counted(monkeypatch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a bundle, and the store of its training."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        use_counted(patch)
        train_toy(folder)
    return folder


@pytest.fixture
def fused(trained, tmp_path, loaded):
    return fused_toy(trained, tmp_path / "toy")
