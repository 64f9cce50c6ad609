import copy

import pytest

from reactions.products.bundles.fields import check_fields

FIGURES = {"there": {"R@1": 1.0, "R@10": 2}, "back": {"R@1": 0, "R@10": 100.0}}
ROW = {"R@1": 20.0, "R@10": 40.0, **FIGURES}
RECORD = {
    "rows": [{"modality": "text", "corpus": "A/text", "rows": 5, "held_out": 0}],
    "projectors": [
        {
            "pair": "A + Cr(B)",
            "subset": "T",
            "rows": 5,
            "hidden_dim": 16,
            "batch_size": 4,
            "epochs": 1,
            "chosen": ["hidden_dim"],
        }
    ],
    "ranks": {"0.T": 5},
    "quality": {
        "found_again": [
            {"base": "A", "expert": "B", "op": "cr", "modality": "text", "n": 3, **ROW}
        ],
        "cross": [
            {
                "modalities": ["image", "text"],
                "n": 3,
                "rows": [
                    {"row": "product", **ROW},
                    {"row": "part", "name": "B", **ROW},
                    {"row": "sum", "weights": {"A": 0.3, "B": 0.7}, **ROW},
                    {"row": "better factors", "factors": {"sigma": {"B": {"text": 0.3}}}, **ROW},
                ],
                "worse": {"part": "B", "metric": "R@10", "mean": -1.0, "low": -2.0, "high": 0.5},
                "better": {"sigma": {"B": {"text": 0.3}}},
            }
        ],
        "cross_reason": "",
    },
}


def test_what_molspace_writes_is_read():
    check_fields(RECORD)
    check_fields({})  # a bundle of an earlier version


@pytest.mark.parametrize(
    ("place", "bad"),
    [
        (("rows", 0, "rows"), -1),
        (("rows", 0, "rows"), True),
        (("rows", 0, "held_out"), 1.5),
        (("rows", 0, "corpus"), None),
        (("rows",), 7),
        (("rows", 0), "text"),
        (("projectors", 0, "chosen"), [3]),
        (("projectors", 0, "epochs"), "9"),
        (("projectors", 0), {"pair": "A + Cr(B)", "subset": "T", "rows": -1}),
        (("projectors", 0), {"pair": "A + Cr(B)", "subset": "T", "rows": 5, "chosen": []}),
        (("ranks",), [5]),
        (("ranks", "0.T"), -5),
        (("ranks", "0.T"), True),
        (("quality",), []),
        (("quality", "cross_reason"), 1),
        (("quality", "found_again", 0, "op"), "ft"),
        (("quality", "found_again", 0, "R@1"), 101),
        (("quality", "found_again", 0, "back"), {}),
        (("quality", "found_again", 0, "n"), -3),
        (("quality", "cross", 0, "modalities"), ["image"]),
        (("quality", "cross", 0, "rows", 0, "row"), "evil"),
        (("quality", "cross", 0, "rows", 2, "row"), "centred sum"),
        (("quality", "cross", 0, "rows", 0, "R@10"), float("nan")),
        (("quality", "cross", 0, "rows", 2, "weights"), {"A": 2}),
        (("quality", "cross", 0, "rows", 2, "weights"), [0.5]),
        (("quality", "cross", 0, "rows", 3, "factors"), {"sigma": {"B": {"text": 9}}}),
        (("quality", "cross", 0, "worse", "metric"), "MRR"),
        (("quality", "cross", 0, "worse", "part"), "Nobody"),
        (("quality", "cross", 0, "worse", "mean"), 1e9),
        (("quality", "cross", 0, "worse"), "B"),
        (("quality", "cross", 0, "better"), {"theta": {"B": {"text": 0.3}}}),
        (("quality", "cross", 0, "better"), {"sigma": {"B": {"text": 9}}}),
        (("quality", "cross", 0, "rows"), []),
    ],
)
def test_what_it_never_writes_is_refused(place, bad):
    record = copy.deepcopy(RECORD)
    *path, last = place
    target = record
    for key in path:
        target = target[key]
    target[last] = bad
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        check_fields(record)
