"""What a lab's data hold: counts before a long run, and findings about them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from reactions.data.benchmark import BenchmarkData, RetrievalData
from reactions.data.benchmarks import LAYOUTS, layout_of
from reactions.data.leakage import Finding, duplicates, leakage, undecodable
from reactions.data.sources.corpus import SourceCorpus
from reactions.errors import DataError, MissingError, MolspaceError
from reactions.kinds import Corpus
from reactions.labs.lab import Lab

CAPTIONED = ("audiocaps", "clotho", "coco", "flickr30k")
"""Tasks whose captions a text corpus may hold."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A corpus or an evaluation set, counted.

    Attributes:
        kind: which of the two.
        name: the modality, or the task.
        title: the corpus's name, or the set's.
        found: usable items; 0 if there are none or they cannot be read.
        expected: items of the published set; of a corpus, all that were found, good and bad.
        bad: items that cannot be used.
        skipped: items that the lab file leaves out.
        size_bytes: of its files; 0 for what is generated.
        problem: why it cannot be used, "" if it can.
        fix: what helps, "" if nothing is wrong.
    """

    kind: Literal["corpus", "task"]
    name: str
    title: str
    found: int = 0
    expected: int = 0
    bad: int = 0
    skipped: int = 0
    size_bytes: int = 0
    problem: str = ""
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def inventory(lab: Lab) -> list[Holding]:
    """Count the corpora of a lab, then the evaluation sets it has or should have."""
    found = [_corpus(lab, modality) for modality in sorted(lab.corpora)]
    tasks = [task for task in LAYOUTS if lab.world_tasks or lab.data.of(task)]
    return found + [_task(lab, task) for task in tasks]


def audit(lab: Lab) -> list[Finding]:
    """Look through the corpora of a lab."""
    findings: list[Finding] = []
    for modality in sorted(lab.corpora):
        corpus = lab.corpus(modality)
        if corpus is None:
            continue
        if isinstance(corpus, SourceCorpus) and (left_out := undecodable(corpus)):
            findings.append(left_out)
        if repeated := duplicates(corpus):
            findings.append(repeated)
        if modality == "text":
            findings += _leakage(lab, corpus)
    return findings


def _leakage(lab: Lab, corpus: Corpus) -> list[Finding]:
    evaluated: dict[str, list[tuple[str, str]]] = {}
    for task in CAPTIONED:
        try:
            evaluated[task] = lab.captions(task)
        except (MissingError, DataError):
            continue
    findings = leakage(corpus, evaluated)
    absent = [task for task in CAPTIONED if task not in evaluated]
    if absent:
        message = f"not compared with the captions of {', '.join(absent)}: they are not there"
        findings.append(Finding("unchecked", corpus.name, message))
    return findings


def _corpus(lab: Lab, modality: str) -> Holding:
    try:
        corpus = lab.corpus(modality)
    except MolspaceError as error:
        return Holding("corpus", modality, "", problem=_said(error), fix=error.fix)
    assert corpus is not None  # the lab names it
    if not isinstance(corpus, SourceCorpus):
        return Holding("corpus", modality, corpus.name, len(corpus), len(corpus))
    skipped = corpus.skipped
    return Holding(
        "corpus",
        modality,
        corpus.name,
        found=len(corpus),
        expected=skipped.n_rows,
        bad=skipped.n_bad,
        skipped=skipped.n_skipped,
        size_bytes=corpus.size_bytes,
    )


def _task(lab: Lab, task: str) -> Holding:
    layout = layout_of(task)
    try:
        data = lab.benchmark(task)
    except MolspaceError as error:
        return Holding(
            "task",
            task,
            layout.title,
            expected=layout.expected,
            problem=_said(error),
            fix=error.fix,
        )
    sides = _sides(data)
    real = [side for side in sides if isinstance(side, SourceCorpus)]
    return Holding(
        "task",
        task,
        layout.title,
        found=len(sides[0]),
        expected=data.expected,
        bad=sum(side.skipped.n_bad for side in real),
        size_bytes=sum(side.size_bytes for side in real),
    )


def _sides(data: BenchmarkData) -> list[Corpus]:
    return [data.left, data.right] if isinstance(data, RetrievalData) else [data.queries]


def _said(error: MolspaceError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what
