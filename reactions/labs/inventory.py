"""What a lab's data hold: counts before a long run, and findings about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, MissingError, MolspaceError
from reactions.core.hashing import digest
from reactions.core.protocols import NotLookedAt
from reactions.core.storage import entry_of
from reactions.core.types import Corpus, SpaceSpec
from reactions.data.audit import (
    VERSION,
    DataFinding,
    duplicates,
    leakage,
    like_paths,
    others,
    undecodable,
)
from reactions.data.pairs.corpora import SourcePairs
from reactions.data.scan_cache import ScanTable
from reactions.data.sources.corpus import SourceCorpus
from reactions.data.sources.parts import signature_of
from reactions.encoders.precomputed.folder import open_table
from reactions.eval.own_set import OwnSet
from reactions.eval.published import EvaluationSet
from reactions.eval.registry import find_set, loadable_sets
from reactions.eval.task import Task
from reactions.eval.task_data import sides_of
from reactions.labs.folders import (
    common_ids,
    examine,
    folder_spaces,
    shared_modalities,
    size_bytes,
)
from reactions.labs.lab import Lab
from reactions.labs.pairs_audit import audit_pairs, described, unopened
from reactions.modalities.text import TEXT


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """A corpus, pairs or an evaluation set, counted.

    Attributes:
        kind: which of these; a space is a folder of embeddings.
        name: the modality, the pairs' section, the task, or the space and its modality.
        title: the corpus's name, the pairs' modalities, the set's name, or what rows have: width
            and ids.
        found: usable items, although so many may be bad that none is used; 0 if they cannot be
            read.
        expected: items of the published set; of others, all that were found, good and bad.
        bad: items that cannot be used.
        skipped: items that the lab file leaves out.
        others: files of other kinds that lie beside a corpus's own and are left out.
        size_bytes: of its files; 0 for what is generated.
        problem: why it cannot be used, "" if it can.
        fix: what helps, "" if nothing is wrong.
        looked_at: False for what is remote, where the network is not to be used.
        reading: what was guessed, or is odd, about how a corpus's tables are read.
    """

    kind: Literal["corpus", "pairs", "task", "space", "common ids"]
    name: str
    title: str
    found: int = 0
    expected: int = 0
    bad: int = 0
    skipped: int = 0
    others: int = 0
    size_bytes: int = 0
    problem: str = ""
    fix: str = ""
    looked_at: bool = True
    reading: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def inventory(lab: Lab) -> list[InventoryEntry]:
    """Count a lab's corpora, pairs and embeddings, and evaluation sets it has or should have."""
    entries = [_corpus(lab, modality) for modality in sorted(lab.corpora)]
    entries += [_pairs(lab, name) for name in lab.pairs]
    specs, broken_folders = folder_spaces(lab)
    entries += [
        InventoryEntry("space", name, "", problem=described(error), fix=error.fix)
        for name, error in broken_folders.items()
    ]
    entries += [_folder(spec, modality) for spec in specs for modality in spec.modalities]
    entries += [_common(owners, m) for m, owners in shared_modalities(specs).items()]
    sets, broken = loadable_sets()
    entries += [
        _task(lab, published.task) for published in sets if lab.may_have(published.task.name)
    ]
    entries += [_task(lab, own_set.task) for own_set in lab.own_tasks.values()]
    return entries + [
        InventoryEntry("task", name, "", problem=described(error), fix=error.fix)
        for name, error in broken.items()
        if lab.may_have(name)
    ]


def _folder(spec: SpaceSpec, modality: str) -> InventoryEntry:
    name = f"{spec.name} {modality}"
    try:
        table, _, where = open_table(spec, modality)
        n_bytes = size_bytes(spec, modality)
    except MolspaceError as error:
        return InventoryEntry("space", name, "", problem=described(error), fix=error.fix)
    n, dim = table.shape
    title = f"{dim} dimensions, " + (f"ids: {where}" if where else "no ids")
    return InventoryEntry("space", name, title, n, n, size_bytes=n_bytes)


def _common(specs: Sequence[SpaceSpec], modality: str) -> InventoryEntry:
    title = " & ".join(spec.name for spec in specs)
    try:
        n_common, n_most, _ = common_ids(specs, modality)
    except MolspaceError as error:  # reported with the space already
        return InventoryEntry("common ids", modality, title, problem=error.what)
    problem = "" if n_common else f"{title} have no {modality} ids in common"
    fix = "" if n_common else "embed the same items, and give them the same ids"
    return InventoryEntry("common ids", modality, title, n_common, n_most, problem=problem, fix=fix)


def audit(lab: Lab) -> list[DataFinding]:
    """Look through a lab's corpora, pairs and embeddings; what is unusable is not raised."""
    return audit_corpora(lab) + audit_pairs(lab) + examine(lab)[1]


def audit_corpora(lab: Lab) -> list[DataFinding]:
    """Look through the corpora of a lab; one that cannot be used is reported, not raised."""
    findings: list[DataFinding] = []
    for modality in sorted(lab.corpora):
        try:
            corpus = lab.corpus(modality)
        except (DataError, MissingError) as error:
            findings.append(unopened(f"{lab.name} {modality}", error))
            continue
        if corpus is None:
            continue
        if isinstance(corpus, SourceCorpus):
            skipped = corpus.skipped
            if left_out := undecodable(corpus.name, skipped, next(iter(corpus.notices), "")):
                findings.append(left_out)
            if beside := others(corpus.name, corpus.others, corpus.modality, skipped.n_rows):
                findings.append(beside)
        if paths := like_paths(corpus):
            findings.append(paths)
        if repeated := duplicates(corpus):
            findings.append(repeated)
        if modality == TEXT.name:
            findings += _leakage(lab, corpus)
    return findings


def _leakage(lab: Lab, corpus: Corpus) -> list[DataFinding]:
    evaluated: dict[str, list[tuple[str, str]]] = {}
    absent: list[str] = []
    unreadable: list[DataFinding] = []
    sets, broken = loadable_sets()
    for task in [*_captioned(sets), *_captioned(lab.own_tasks.values())]:
        try:
            evaluated[task] = lab.captions(task)
        except MissingError:
            absent.append(task)
        except DataError as error:
            unreadable.append(_unchecked(corpus, task, described(error)))
    for task, failure in broken.items():
        unreadable.append(_unchecked(corpus, task, described(failure)))
    findings = leakage(corpus, evaluated, on_progress=lab.on_progress) + unreadable
    if absent:
        findings.append(_unchecked(corpus, ", ".join(absent), "they are not there"))
    return findings


def leaks(lab: Lab) -> tuple[str, ...]:
    """Return which evaluation sets of a lab have captions that its text corpus holds, too.

    Only real texts are compared with real captions, not what a world makes up. The answer is
    remembered until the corpus or a file of captions changes.

    Returns:
        A line, for people, for each set that shares captions, or whose captions cannot be read.

    Raises:
        MissingError: the corpus is missing.
        DataError: the corpus cannot be used.
    """
    corpus = lab.corpus(TEXT.name)
    if not isinstance(corpus, SourceCorpus):
        return ()
    labels: dict[str, list[Entry]] = {}
    for task in _captioned(loadable_sets()[0]):
        with suppress(MissingError):
            labels[task] = [entry_of(find_set(task, lab.data).labels)]
    for task in _captioned(lab.own_tasks.values()):
        with suppress(MissingError):
            labels[task] = lab.own_tasks[task].tables(lab.data)
    if not labels:
        return ()
    stamps = [entry.stamp for entries in labels.values() for entry in entries]
    cached = "leaks-" + digest("leaks", [corpus.name, VERSION])[:32]
    signature = signature_of([corpus.digest, *labels, *stamps])
    if (table := lab.tables.get(cached, signature)) is not None:
        return tuple(table.facts["notices"])
    evaluated: dict[str, list[tuple[str, str]]] = {}
    findings: list[DataFinding] = []
    for task in labels:
        try:
            evaluated[task] = lab.captions(task)
        except (DataError, MissingError) as error:
            findings.append(_unchecked(corpus, task, described(error)))
    findings = leakage(corpus, evaluated, on_progress=lab.on_progress) + findings
    notices = [f"text corpus: {finding.message}" for finding in findings]
    lab.tables.put(cached, signature, ScanTable(facts={"notices": notices}))
    return tuple(notices)


def _captioned(sets: Iterable[EvaluationSet | OwnSet]) -> list[str]:
    """Return the names of the sets whose captions a text corpus may hold."""
    return [evaluation_set.task.name for evaluation_set in sets if evaluation_set.task.has_captions]


def _unchecked(corpus: Corpus, tasks: str, why: str) -> DataFinding:
    message = f"not compared with the captions of {tasks}: {why}"
    return DataFinding("unchecked", corpus.name, message)


def _corpus(lab: Lab, modality: str) -> InventoryEntry:
    try:
        corpus = lab.corpus(modality)
    except MolspaceError as error:
        return _unusable("corpus", modality, "", error)
    assert corpus is not None  # the lab names it
    if not isinstance(corpus, SourceCorpus):
        return InventoryEntry("corpus", modality, corpus.name, len(corpus), len(corpus))
    skipped = corpus.skipped
    return InventoryEntry(
        "corpus",
        modality,
        corpus.name,
        found=len(corpus),
        expected=skipped.n_rows,
        bad=skipped.n_bad,
        skipped=skipped.n_skipped,
        others=sum(corpus.others.values()),
        size_bytes=corpus.size_bytes,
        reading=corpus.reading,
    )


def _unusable(
    kind: Literal["corpus", "pairs"], name: str, title: str, error: MolspaceError
) -> InventoryEntry:
    """Return the entry of what cannot be opened, counted as far as it was scanned."""
    bad, skipped, n_rows = (
        int(error.fields.get(field, 0)) for field in ("n_bad", "n_skipped", "n_rows")
    )
    return InventoryEntry(
        kind,
        name,
        title,
        found=n_rows - bad - skipped,
        expected=n_rows,
        bad=bad,
        skipped=skipped,
        problem=described(error),
        fix=error.fix,
        looked_at=not isinstance(error, NotLookedAt),
    )


def _pairs(lab: Lab, name: str) -> InventoryEntry:
    source = lab.pairs[name]
    title = " & ".join(source.modalities) + (", the default" if source.default else "")
    try:
        pairs = lab.open_pairs(source)
    except MolspaceError as error:
        return _unusable("pairs", name, title, error)
    if not isinstance(pairs, SourcePairs):
        return InventoryEntry("pairs", name, title, len(pairs), len(pairs))
    return InventoryEntry(
        "pairs",
        name,
        title,
        found=len(pairs),
        expected=pairs.skipped.n_rows,
        bad=pairs.skipped.n_bad,
        skipped=pairs.skipped.n_skipped,
        others=sum(pairs.others.values()),
        size_bytes=pairs.size_bytes,
        reading=pairs.reading,
    )


def _task(lab: Lab, task: Task) -> InventoryEntry:
    try:
        data = lab.benchmark(task.name)
    except MolspaceError as error:
        return InventoryEntry(
            "task",
            task.name,
            task.title,
            expected=task.expected,
            problem=described(error),
            fix=error.fix,
            looked_at=not isinstance(error, NotLookedAt),
        )
    sides = sides_of(data)
    real = [side for side in sides if isinstance(side, SourceCorpus)]
    return InventoryEntry(
        "task",
        task.name,
        task.title,
        found=len(sides[0]),
        expected=data.expected,
        bad=sum(side.skipped.n_bad for side in real),
        others=sum(sum(side.others.values()) for side in real),
        size_bytes=sum(side.size_bytes for side in real),
    )
