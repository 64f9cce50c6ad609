"""What ``FusedSpace`` does with its product: score, sweep, index, search, classify."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, get_args

from reactions.api.arguments import check_count
from reactions.api.classified import Classified, ItemClasses
from reactions.api.grids import GivenGrid, grid_texts, subset_texts
from reactions.api.scores import Scores, SweepScores
from reactions.api.search_results import IndexSummary, QueryHits, SearchHits
from reactions.api.tables import GivenTables
from reactions.centres import classifier, evaluate_centres, prompted
from reactions.core.centre_options import CentreOptions
from reactions.core.errors import MissingError, UsageError, suggestion
from reactions.core.file_digests import DigestCache
from reactions.core.paths import cache_root
from reactions.core.types import Item, Modality
from reactions.data.manifest import Problem
from reactions.encoding.items import CorpusRange
from reactions.eval.baselines import Baseline
from reactions.eval.metrics import Ties
from reactions.eval.registry import names_groups_only
from reactions.eval.task import Hit, Task, counting_hits
from reactions.experiments.sweep import plan_grid
from reactions.experiments.sweep import sweep as run_sweep
from reactions.inference.classify import Classifier
from reactions.inference.embedder import Embedder, LoadedParts
from reactions.inference.similarity import label
from reactions.inference.zero_shot import PromptedClasses, check_templates
from reactions.labs.generators import classes_of
from reactions.labs.given_classes import GivenClasses
from reactions.modalities import noticed
from reactions.modalities.registry import content_digest
from reactions.planning.centre_scores import check_has_classes
from reactions.planning.centres import ClassCentres, open_source
from reactions.planning.possible import possible
from reactions.planning.scoring import plan_scores
from reactions.products.acting import acting_adjustment
from reactions.products.target import Target
from reactions.products.tree import Adjustment, fit_adjustment, mixtures
from reactions.run import events as ev
from reactions.run.logs import log_notices
from reactions.search.atom_rows import AtomEmbedder
from reactions.search.build import add_items
from reactions.search.index import SearchIndex
from reactions.search.item_names import of_corpus
from reactions.search.record import Dtype
from reactions.search.searcher import Searcher
from reactions.session import Session, load_encoder

_Choice = TypeVar("_Choice")


def one_of(name: str, value: _Choice, choices: Any) -> _Choice:
    """Return an argument, refusing what is none of a ``Literal``'s choices."""
    values = get_args(choices)
    if value not in values:
        raise UsageError(f"{name} is {value!r}", fix=suggestion(str(value), values))
    return value


def names_of(given: str | Iterable[str]) -> list[str]:
    """Return names that are given one by one, or in a text with commas between."""
    names = given.split(",") if isinstance(given, str) else list(given)
    for name in names:
        if not isinstance(name, str):
            raise UsageError(
                f"{name!r} is not a name", why=f"it is of the type {type(name).__name__}"
            )
    return [name.strip() for name in names if name.strip()]


def described(
    centres: str | os.PathLike[str] | None,
    *,
    k: int | None,
    selection: str,
    rule: str,
    items: str | None,
) -> tuple[str, CentreOptions] | None:
    """Read how descriptions stand for classes; None where they do not.

    Raises:
        UsageError: options cannot mean anything, or belong to ``centres``, which is not given.
    """
    options = CentreOptions.read(k=k, selection=selection, rule=rule, items=items)
    if centres is not None:
        return os.fspath(centres), options
    differs = {"k": k is not None, "items": items is not None}
    differs |= {"selection": selection != "central", "rule": rule != "mean"}
    if names := [name for name, is_given in differs.items() if is_given]:
        raise UsageError(
            f"{' and '.join(names)} belong{'s' if len(names) == 1 else ''} to centres",
            fix="centres=KB, such as centres='kb' in the mini lab",
        )
    return None


def evaluate(
    session: Session,
    target: Target,
    names: Sequence[str],
    adjustment: Adjustment,
    *,
    tables: GivenTables,
    metrics: Sequence[str],
    ties: Ties,
    hit: Hit | None,
    baselines: bool,
    described: tuple[str, CentreOptions] | None,
) -> Scores:
    """Score a product on tasks; see ``FusedSpace.evaluate``."""
    adjustment = fit_adjustment(target.space, adjustment)
    if described and baselines:
        raise UsageError(
            "baselines stand beside prompts, and centres take their place",
            fix="leave out baselines, or centres",
        )
    session, table_tasks, guessed = tables.add_to(session)
    tasks, notes = _tasks(
        session, target, names, hit, table_tasks, by_classes=described is not None
    )
    if described is not None:
        centres = ClassCentres(open_source(session.lab, described[0]), described[1])
        results = evaluate_centres(
            session, target, tasks, centres, adjustment, ties=ties, further=bool(metrics)
        )
    else:
        further = bool(metrics or table_tasks)
        scorings = plan_scores(session.lab, target, tasks, adjustment, ties, further=further)
        results = session.score(target, scorings, lambda plan: None)
    beside: list[Baseline] = []
    if baselines:
        beside = session.baselines(target, tasks, adjustment, ties)
    lab = results[0].record["lab"] if results else session.label(target)
    scores = Scores(
        target.name, lab, session.lab.seed, results, beside, [*guessed, *notes], ",".join(metrics)
    )
    log_notices(scores.notices)
    return scores


def sweep(
    session: Session,
    target: Target,
    names: Sequence[str],
    *,
    sigma: GivenGrid,
    lambda_: GivenGrid,
    experts: str | Sequence[str | Sequence[str]] | None,
    ties: Ties,
) -> SweepScores:
    """Score a product at many settings; see ``FusedSpace.sweep``."""
    labels = {fusion.experts[i].label for fusion, i in mixtures(target.space)}
    grid = plan_grid(
        target.space,
        sigma=grid_texts("sigma", sigma, labels),
        lambda_=grid_texts("lambda_", lambda_, labels),
        experts=subset_texts(experts),
    ).grid()
    tasks, notes = _tasks(session, target, names, None)
    table = run_sweep(session, target, tasks, grid, ties=ties)
    scores = SweepScores(target.name, session.label(target), table, notes)
    log_notices(scores.notices)
    return scores


def _tasks(
    session: Session,
    target: Target,
    names: Sequence[str],
    hit: Hit | None,
    table_tasks: Sequence[Task] = (),
    *,
    by_classes: bool = False,
) -> tuple[tuple[Task, ...], list[str]]:
    """Return the tasks that names stand for, and notes on those of groups that are left out.

    Args:
        session: whose lab.
        target: what is scored.
        names: of tasks and groups; none are needed beside a table.
        hit: what retrieval must find; None leaves what each task says.
        table_tasks: tasks of tables, which come last.
        by_classes: whether only tasks with classes will do.
    """
    text = ",".join(names)
    notes: list[str] = []
    tasks = (*(session.lab.parse_tasks(text) if names or not table_tasks else ()), *table_tasks)
    if hit is not None:
        tasks = counting_hits(tasks, hit)
    is_groups = not table_tasks and names_groups_only(text)
    if by_classes and is_groups:
        retrieval = [task.name for task in tasks if task.kind == "retrieval"]
        tasks = tuple(task for task in tasks if task.kind != "retrieval")
        if retrieval:
            notes.append(f"centres stand for classes, and change nothing of {', '.join(retrieval)}")
    elif by_classes:
        for task in tasks:
            check_has_classes(task)
    if is_groups:
        try:
            tasks = possible(session.lab, target, tasks, notes.append)
        except MissingError:  # which does not say why each is left out
            log_notices(notes)
            raise
    return tasks, notes


def index(
    session: Session,
    target: Target,
    parts: LoadedParts,
    out: str | os.PathLike[str],
    corpora: Sequence[str],
    *,
    media: Callable[[Embedder], Mapping[Modality, list[Item]]],
    dtype: Dtype,
    prefix: str,
) -> IndexSummary:
    """Add items to an index; see ``FusedSpace.index``."""
    one_of("dtype", dtype, Dtype)
    embedder = AtomEmbedder(target, load_encoder=load_encoder, device=parts.device, parts=parts)
    digests = DigestCache(cache_root())
    new_items = [_by_content(item, digests) for items in media(embedder).values() for item in items]
    entries: list[Iterable[Item | Problem]] = [new_items]
    n_items = len(new_items)
    for name in corpora:
        corpus = session.lab.named_corpus(name)
        if corpus.modality not in target.space.modalities:
            raise UsageError(
                f"the space does not embed {corpus.modality}, which the corpus '{name}' holds",
                why=f"it embeds {', '.join(target.space.modalities)}",
            )
        entries.append(of_corpus(name, CorpusRange(corpus, 0, len(corpus))))
        n_items += len(corpus)
    if not n_items:
        raise UsageError("nothing to index", fix='image=[...], or corpora="image"')
    problems: list[Problem] = []
    step = ("index", "index", "index")  # key, kind and label
    session.events(ev.PlanStarted(steps=1, hits=0))
    session.events(ev.StepStarted(*step, done=0, total=n_items))
    try:
        result = add_items(
            Path(out),
            target,
            embedder,
            chain.from_iterable(entries),
            digests=digests,
            dtype=dtype,
            prefix=prefix,
            on_problem=problems.append,
            on_progress=lambda n: session.events(
                ev.StepProgress(*step, done=n, total=n_items, unit="items")
            ),
        )
    finally:
        session.events(ev.PlanStopped())
    summary = IndexSummary(result, problems)
    log_notices(summary.notices)
    return summary


def _by_content(item: Item, digests: DigestCache) -> Item:
    """Give an item that is in memory alone an id that means the same in another run."""
    if item.own_id or isinstance(item.value, str | os.PathLike):
        return item
    return Item(content_digest(item, digests), item.modality, item.value)


def search(
    session: Session,
    target: Target,
    parts: LoadedParts,
    index: SearchIndex,
    items: Sequence[Item],
    *,
    into: Modality | None,
    k: int,
    adjustment: Adjustment,
) -> SearchHits:
    """Search an index; see ``FusedSpace.search``."""
    if not items:
        raise UsageError("no query", fix='search(index, text=["a dog barking"])')
    check_count("k", k)
    searcher = Searcher(session, target, index, parts)
    hits_of_queries = searcher.search(items, into=into, k=k, adjustment=adjustment)
    hits = [
        QueryHits(label(item), item.modality, tuple(item_hits))
        for item, item_hits in zip(items, hits_of_queries, strict=True)
    ]
    log_notices(noticed.take())
    factors = acting_adjustment(target.space, adjustment)["factors"]
    return SearchHits(index.directory, index.record.lab, hits, factors)


def classify(
    session: Session,
    target: Target,
    embedder: Embedder,
    items: Mapping[Modality, Sequence[Item]],
    described: tuple[str, CentreOptions] | None,
    adjustment: Adjustment,
    *,
    classes: str | Sequence[str] | None,
    templates: Sequence[str],
    top: int,
) -> Classified:
    """Name items' classes; see ``FusedSpace.classify``."""
    check_count("top", top)
    if not any(items.values()):
        raise UsageError("nothing to classify", fix='classify("kb", image=[...])')
    finder, notices = _namer(session, target, described, adjustment, classes, templates, top)
    item_classes = [
        ItemClasses(label(item), modality, tuple(best))
        for modality, values in items.items()
        if values
        for item, best in zip(
            values, finder.of_items(values, embedder.embed(modality, values), top), strict=True
        )
    ]
    log_notices([*notices, *noticed.take()])
    return Classified(session.label(target), item_classes, finder.about, notices)


def _namer(
    session: Session,
    target: Target,
    described: tuple[str, CentreOptions] | None,
    adjustment: Adjustment,
    classes: str | Sequence[str] | None,
    templates: Sequence[str],
    top: int,
) -> tuple[Classifier | PromptedClasses, list[str]]:
    """Return what names items, and what the user should know of it."""
    if isinstance(templates, str):
        raise UsageError("templates takes a list", fix='templates=["a photo of a {class}."]')
    if described is None:
        if not classes:
            raise UsageError(
                "no classes to choose from",
                fix='classes=["dog", "cat"], a file or a task; or centres, such as "kb"',
            )
        check_templates(templates)
        given = (
            GivenClasses.read(session.lab, classes, templates)
            if isinstance(classes, str)
            else GivenClasses("classes", tuple(dict.fromkeys(classes)), tuple(templates))
        )
        return prompted(session, target, given, adjustment), []
    if templates:
        raise UsageError("templates and centres describe classes in two ways", fix="give one")
    centres = ClassCentres(open_source(session.lab, described[0]), described[1])
    if isinstance(classes, str):
        # ImageNet's two cranes have one name, which is what an item is called.
        classes = tuple(dict.fromkeys(classes_of(session.lab, classes)[1]))
    finder = classifier(session, target, centres, classes, adjustment)
    notices = list(finder.notices)
    if classes is None and len(finder.classes) > top:
        notices.append(
            f"among all {len(finder.classes):,} classes that are described, of whatever task; "
            "classes= names yours"
        )
    return finder, notices
