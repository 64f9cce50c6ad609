"""A slip in any argument is refused before a reaction is trained."""

import pytest
from bundles import record_of, tensors_of
from fakes import CM, IB, cr
from in_process import offline_in, runner

from reactions.products.bundles.bundle import write_bundle
from reactions.session import Session

PRODUCT = "ImageBind + Cr(CLAP_m, sigma=0.25)"
SLIPS = [
    (("eval", PRODUCT, "--task", "esc5"), "unknown task 'esc5'"),
    (("eval", PRODUCT, "--task", "esc50", "--metrics", "R@7"), "no metric 'R@7'"),
    (("eval", PRODUCT, "--task", "all", "--metrics", "R@7"), "no metric 'R@7'"),
    (("eval", PRODUCT, "--task", "esc50", "--sigma", "CLAP_g:0.5"), "no expert 'CLAP_g'"),
    (("eval", PRODUCT, "--task", "esc50", "--sigma", "0.5,0.1,0.3"), "3 factors for 2"),
    (("eval", PRODUCT, "--task", "esc50", "--lambda", "0.5"), "--lambda has no effect"),
    (("eval", PRODUCT, "--task", "esc50", "--experts", "CLAP"), "no expert 'CLAP'"),
    (("eval", PRODUCT, "--task", "esc50", "--centres", "kbb"), "no knowledge base 'kbb'"),
    (("eval", PRODUCT, "--task", "esc50", "--hit", "pairs"), "'pairs' is not one of"),
    (("infer", "a", "--space", PRODUCT, "--sigma", "CLAP_g:1", "--format", "jsonl"), "'CLAP_g'"),
    (("infer", "a", "--space", PRODUCT, "--modality", "txt"), "txt"),
    (("infer", "a", "--space", PRODUCT, "--classify", "kbb"), "no knowledge base 'kbb'"),
    (("sweep", PRODUCT, "--task", "esc5"), "unknown task 'esc5'"),
    (("sweep", PRODUCT, "--task", "esc50", "--sigma", "0:2:1"), "the factor 2 is outside"),
    (("sweep", PRODUCT, "--task", "esc50", "--experts", "CLAP"), "CLAP"),
    (("sweep", PRODUCT, "--task", "esc50", "--out", "x.tx"), "x.tx"),
    (("tune", PRODUCT, "--objective", "audio-txt"), "'audio-txt'"),
    (("tune", PRODUCT, "--objective", "esc50", "--keep", "image-txt >= 5"), "image-txt"),
    (("tune", PRODUCT, "--objective", "esc50", "--sigma", "0:2:1"), "the factor 2 is outside"),
    (("report", PRODUCT, "--task", "esc5"), "unknown task 'esc5'"),
    (("report", PRODUCT, "--map", "tsnee"), "'tsnee' is not one of"),
    (("index", PRODUCT, "x.png", "--out", "i"), "x.png"),
    (("index", PRODUCT, "--corpus", "imagee", "--out", "i"), "imagee"),
    (("index", PRODUCT, "--corpus", "image", "--kind", "flt", "--out", "i"), "flt"),
    (("serve", PRODUCT, "--port", "99999"), "too large"),
    (("serve", PRODUCT, "--index", "nowhere"), "no index at 'nowhere'"),
    (("export", PRODUCT, "--to", "onxn", "--out", "x"), "onxn"),
]


@pytest.mark.parametrize(("line", "message"), SLIPS, ids=[" ".join(line) for line, _ in SLIPS])
def test_nothing_is_trained(line, message, tmp_path, monkeypatch, capsys):
    def train(self, *args, **kwargs):
        raise AssertionError("it is trained")

    offline_in(tmp_path, monkeypatch)
    monkeypatch.setattr(Session, "run", train)
    code, out, err = runner(monkeypatch, capsys, stdin=b"")(*line)
    assert (code in (2, 3), out) == (True, ""), err
    assert message in err
    assert err.startswith("error: "), "nothing is said before"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("eval", "--task", "esc50", "--sigma", "0.5,0.1,0.3"), "3 factors for 2"),
        (("sweep", "--task", "esc50", "--sigma", "x"), "'x' is not a list of factors"),
        (("sweep", "--task", "esc50", "--experts", "CLAP"), "no expert 'CLAP'"),
        (("tune", "--objective", "audio-txt"), "'audio-txt'"),
        (("tune", "--objective", "esc50", "--keep", "x"), "'x' is not a least value"),
        (("infer", "a", "--format", "jsonl", "--experts", "CLAP"), "no expert 'CLAP'"),
    ],
    ids=" ".join,
)
def test_of_a_bundle_nothing_is_said_before(line, message, tmp_path, monkeypatch, capsys):
    offline_in(tmp_path, monkeypatch)
    space = cr(IB, CM)
    write_bundle(tmp_path / "bundle", record_of(space), tensors_of(space))
    code, out, err = runner(monkeypatch, capsys, stdin=b"")(*line, "--space", "bundle")
    assert (code, out) == (2, ""), err
    assert err.startswith("error: "), err
    assert message in err
