import os

from reactions.steps.memory import SHARE, budget_bytes, free_bytes


def test_free_memory_is_asked_for_or_assumed(monkeypatch):
    assert free_bytes("cpu") > 1 << 20
    assert 0 < budget_bytes("cpu") < free_bytes("cpu")

    def refuse(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", refuse)
    assert free_bytes("cpu") == 4 << 30
    assert budget_bytes("cpu") == int(SHARE * (4 << 30))
