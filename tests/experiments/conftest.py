from functools import partial

import fakes
import pytest
from fake_lab import fake_session

from reactions import session


@pytest.fixture
def open_session(tmp_path, monkeypatch):
    """A function that makes a session on fakes; spaces by name."""
    monkeypatch.setattr(session, "load_encoder", lambda spec, device: fakes.Encoder(spec))
    monkeypatch.setattr(session, "check_space", lambda spec: None)
    return partial(fake_session, tmp_path)
