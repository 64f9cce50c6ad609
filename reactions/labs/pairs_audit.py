"""What is wrong with a lab's pairs: what is left out, repeats, or is evaluated on as well."""

from __future__ import annotations

from collections.abc import Sequence

from reactions.core.errors import DataError, MissingError, MolspaceError, UsageError
from reactions.core.paired import PairedCorpora
from reactions.data.audit import DataFinding, leakage
from reactions.data.pairs.audit import leaked, left_out, other_files, repeated_pairs
from reactions.data.pairs.corpora import SourcePairs
from reactions.data.sources.corpus import SourceCorpus
from reactions.eval.registry import loadable_sets
from reactions.eval.task_data import sides_of
from reactions.labs.lab import Lab
from reactions.modalities.text import TEXT


def audit_pairs(lab: Lab) -> list[DataFinding]:
    """Look through the pairs of a lab; what cannot be used is reported, not raised."""
    findings: list[DataFinding] = []
    for name, source in lab.pairs.items():
        try:
            pairs = lab.open_pairs(source)
        except (DataError, MissingError, UsageError) as error:
            findings.append(unopened(f"{lab.name} pairs {name}", error))
            continue
        if isinstance(pairs, SourcePairs):
            looked = (left_out(pairs), other_files(pairs), repeated_pairs(pairs))
            findings += [finding for finding in looked if finding is not None]
            findings += _leaks(lab, pairs)
    return findings


def leaked_pairs(lab: Lab, pairs: PairedCorpora) -> tuple[str, ...]:
    """Return which evaluation sets of a lab hold items of its pairs, and what was not compared.

    Only real items are compared: the mini world's scenes of pairs and of sets are never the same.
    The files of evaluation sets are scanned for it where they are there; scans are remembered.

    Returns:
        Lines for people.
    """
    if not isinstance(pairs, SourcePairs):
        return ()
    return tuple(f"{pairs.name}: {finding.message}" for finding in _leaks(lab, pairs))


def _leaks(lab: Lab, pairs: SourcePairs) -> list[DataFinding]:
    evaluated: dict[str, Sequence[SourceCorpus]] = {}
    captions: dict[str, list[tuple[str, str]]] = {}
    absent: list[str] = []
    findings: list[DataFinding] = []
    sets, broken = loadable_sets()
    tasks = [
        *(published.task for published in sets),
        *(own_set.task for own_set in lab.own_tasks.values()),
    ]
    for task in tasks:
        if not {task.query, task.other} & set(pairs.modalities):
            continue
        try:
            if not lab.may_have(task.name):
                absent.append(task.name)
                continue
            sides = sides_of(lab.benchmark(task.name))
            if real := [side for side in sides if isinstance(side, SourceCorpus)]:
                evaluated[task.name] = real
            if task.has_captions and TEXT.name in pairs.modalities:
                captions[task.name] = lab.captions(task.name)
        except MissingError:
            absent.append(task.name)
        except DataError as error:
            findings.append(_unchecked(pairs, task.name, described(error)))
    findings += [_unchecked(pairs, task, described(error)) for task, error in broken.items()]
    shared = leaked(pairs, evaluated, on_progress=lab.on_progress) if evaluated else []
    if captions:
        shared += leakage(pairs.corpus(TEXT.name), captions, on_progress=lab.on_progress)
    if absent:
        findings.append(_unchecked(pairs, ", ".join(absent), "they are not there"))
    if pairs.clips and evaluated:
        why = "clips of videos are not files: only names were compared"
        findings.append(_unchecked(pairs, ", ".join(evaluated), why))
    return shared + findings


def _unchecked(pairs: SourcePairs, tasks: str, why: str) -> DataFinding:
    return DataFinding("unchecked", pairs.name, f"not compared with the items of {tasks}: {why}")


def unopened(name: str, error: MolspaceError) -> DataFinding:
    """Return the finding for a corpus, or pairs, that cannot be used at all."""
    fields = error.fields
    return DataFinding(
        "unusable",
        name,
        f"{described(error)}; {error.fix}" if error.fix else described(error),
        count=int(fields.get("n_bad", 0)),
        total=int(fields.get("n_rows", 0)),
        listed=str(fields.get("listed", "")),
    )


def described(error: MolspaceError) -> str:
    """Return what went wrong and why, on one line."""
    return f"{error.what}: {error.why}" if error.why else error.what
