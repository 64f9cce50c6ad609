"""The paper's reaction, simulated: encoders are counted, and kept apart."""

import cluster
from paper_scale import scaled
from synthetic import encoder_flops


def test_encoders_are_counted_by_their_operations():
    steps = scaled(1e-5).steps
    encoding = [step for step in steps if step.key in cluster._embedding(steps)]
    assert len(encoding) == 9  # of four spaces: the modalities of each
    assert all(step.cost.flops > 0 for step in encoding)
    # Published figures: about 6 billion parameters, 257 tokens, two operations each.
    assert 2.5e12 < encoder_flops("InternVL", "image") < 3.5e12


def test_with_encoders_it_takes_longer():
    table = cluster.paper(4e14)
    assert [row[0] for row in table.rows] == list(cluster.SIMULATED)
    for _, alone_h, _, both_h, busy in table.rows:
        assert alone_h < both_h
        assert 0 < busy <= 1
    assert "embed" not in table.notes[1].partition("(")[2].partition("collect")[0]
    assert "embed InternVL image -> " in table.notes[2]
