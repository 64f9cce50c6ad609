"""``molspace kb build`` and ``molspace kb describe``: descriptions by a generator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from molspace_cli import complete, opening, options
from molspace_cli.amounts import counted
from molspace_cli.confirm import agree_to_questions
from molspace_cli.console import say
from molspace_cli.groups import Group, grouped
from molspace_cli.knowledge_made import say_made
from molspace_cli.progress import descriptions

if TYPE_CHECKING:
    from reactions.knowledge.generation.base import Generator
    from reactions.knowledge.generation.jobs import DescriptionJob
    from reactions.knowledge.generation.make import Made
    from reactions.knowledge.generation.prompts import Prompts
    from reactions.knowledge.generation.screening import Rules
    from reactions.knowledge.generation.settings import Bounds

_SHOWN = 5

GeneratorText = Annotated[
    str,
    typer.Option(
        "--generator",
        metavar="SPEC",
        help="What writes them: openai:MODEL?base_url=URL (any OpenAI-compatible endpoint), "
        "hf:REPO?task=TASK (transformers, on this machine), or mini (the mini lab's).",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE.parquet", help="The file.  [default: NAME.parquet here]"),
]


@dataclass(frozen=True)
class Asking(Group):
    """How a generator is asked, and when to stop."""

    prompt: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt",
            metavar="TEXT|@FILE",
            help="Your own prompt in place of a preset; several are used in turn. Repeatable.",
        ),
    ] = None
    system: Annotated[
        str | None,
        typer.Option(
            "--system", metavar="TEXT", help="How answers are to be written, for the system role."
        ),
    ] = None
    token_limit: Annotated[
        int,
        typer.Option("--token-limit", metavar="N", help="CLIP tokens that a row may have."),
    ] = 77
    long: Annotated[
        Literal["drop", "cut"],
        typer.Option(
            "--long", metavar="drop|cut", help="Drop longer rows, or cut them to whole sentences."
        ),
    ] = "drop"
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", help="Questions at a time.")
    ] = 8
    requests_per_minute: Annotated[
        float, typer.Option("--requests-per-minute", metavar="N", help="0 for any number.")
    ] = 0
    tokens_per_minute: Annotated[
        float, typer.Option("--tokens-per-minute", metavar="N", help="0 for any number.")
    ] = 0
    retries: Annotated[
        int, typer.Option("--retries", metavar="N", help="Of a question that got no usable answer.")
    ] = 5
    rounds: Annotated[
        int,
        typer.Option("--rounds", metavar="N", help="How often dropped rows are asked for, in all."),
    ] = 5
    price_in: Annotated[
        float | None,
        typer.Option("--price-in", metavar="X", help="Price of a million tokens that are read."),
    ] = None
    price_out: Annotated[
        float | None,
        typer.Option("--price-out", metavar="X", help="Price of a million that are written."),
    ] = None
    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", metavar="X", help="Stop before it; what is done is kept."),
    ] = None
    max_requests: Annotated[
        int, typer.Option("--max-requests", metavar="N", help="Stop after N; 0 for any number.")
    ] = 0
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what an earlier run was answered.")
    ] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False
    yes: options.Yes = False
    quiet: options.Quiet = False

    def bounds(self) -> Bounds:
        """Return the bounds of the run.

        Raises:
            UsageError: a number cannot mean anything.
        """
        from reactions.knowledge.generation.settings import Bounds

        return Bounds(
            concurrency=self.concurrency,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            retries=self.retries,
            rounds=self.rounds,
            max_requests=self.max_requests,
            max_cost=self.max_cost,
            price_in=self.price_in,
            price_out=self.price_out,
        )

    def prompts(self, preset: str, *, for_items: bool) -> Prompts:
        """Return the prompts of a preset, or the user's own."""
        from reactions.knowledge.generation.prompts import choose_prompts

        return choose_prompts(preset, self.prompt or (), self.system, for_items=for_items)

    def rules(self, *, drop_other_class: bool = False) -> Rules:
        """Return which rows are kept."""
        from reactions.knowledge.generation.screening import Rules

        return Rules(
            token_limit=self.token_limit,
            cut_long=self.long == "cut",
            drop_other_class=drop_other_class,
        )


@grouped
def build(
    classes: Annotated[
        str,
        typer.Option(
            "--classes",
            metavar="FILE|TASK",
            autocompletion=complete.tasks,
            help="What is described: a file with a class on each line, or the classes of a task.",
            show_default=False,
        ),
    ],
    generator: GeneratorText,
    *,
    per_class: Annotated[
        int, typer.Option("--per-class", metavar="N", help="Descriptions of each class.")
    ] = 1000,
    batch: Annotated[
        int, typer.Option("--batch", metavar="N", help="Sentences that one question asks for.")
    ] = 50,
    preset: Annotated[
        str,
        typer.Option(
            "--prompts",
            metavar="NAME",
            help="unibind (the paper's), sound, scene, action or aspects.  [default: unibind]",
        ),
    ] = "",
    other_class: Annotated[
        Literal["drop", "keep"],
        typer.Option(
            "--other-class", metavar="drop|keep", help="What to do with rows that name another."
        ),
    ] = "drop",
    out: Out = None,
    asking: Asking,
    lab: options.Lab = None,
    data: options.Data = None,
    as_json: options.Json = False,
) -> None:
    """Make category descriptions by a generator, and print the file's path.

    Shows what will be sent where, with an estimate, and asks first. Stop or kill it at any point:
    the same command goes on with the questions that are not answered yet.

    Examples:
      molspace kb build --classes esc50 --generator mini --per-class 20
      molspace kb build --classes birds.txt --generator openai:MODEL --max-cost 5
    """
    from reactions.knowledge.generation.jobs import category_job
    from reactions.labs.generators import classes_of, generator_of

    bounds, rules = asking.bounds(), asking.rules(drop_other_class=other_class == "drop")
    prompts = asking.prompts(preset, for_items=False)
    opened = opening.open_lab(lab, data=data, quiet=asking.quiet)
    writer = generator_of(opened, generator)
    name, names = classes_of(opened, classes)
    job = category_job(name, names, writer, prompts, per_class=per_class, batch=batch, rules=rules)
    path = out or Path(f"{name}.parquet")
    _make("kb_build", job, writer, path, bounds, rules, asking, as_json=as_json)


@grouped
def describe(
    corpus: Annotated[
        str,
        typer.Option(
            "--corpus",
            metavar="NAME",
            help="What is described: a modality of [corpora], TASK, TASK:SPLIT, world:MODALITY.",
            show_default=False,
        ),
    ],
    generator: GeneratorText,
    *,
    pictures: Annotated[
        str | None,
        typer.Option(
            "--pictures",
            metavar="NAME",
            help="Describe these in place of the items, paired by id: for event and thermal data.",
        ),
    ] = None,
    per_item: Annotated[
        int, typer.Option("--per-item", metavar="N", help="Descriptions of each item.")
    ] = 1,
    preset: Annotated[
        str,
        typer.Option(
            "--prompts",
            metavar="NAME",
            help="unibind (the paper's) or caption.  [default: unibind]",
        ),
    ] = "",
    out: Out = None,
    asking: Asking,
    lab: options.Lab = None,
    data: options.Data = None,
    as_json: options.Json = False,
) -> None:
    """Make descriptions of items by a generator, and print the file's path.

    Pictures, sounds and frames of videos are sent to the generator. Event and thermal data are
    described on the pictures that were taken with them (--pictures).

    Examples:
      molspace kb describe --corpus image --generator mini --out pictures.parquet
    """
    from reactions.knowledge.generation.jobs import item_job
    from reactions.labs.generators import categories_of, generator_of

    bounds, rules = asking.bounds(), asking.rules()
    prompts = asking.prompts(preset, for_items=True)
    opened = opening.open_lab(lab, data=data, quiet=asking.quiet)
    writer = generator_of(opened, generator)
    items = opened.named_corpus(corpus)
    job = item_job(
        items,
        corpus,
        writer,
        prompts,
        categories=categories_of(opened, corpus, items),
        pictures=None if pictures is None else opened.named_corpus(pictures),
        per_item=per_item,
        rules=rules,
    )
    path = out or Path(f"{corpus.replace(':', '-')}.parquet")
    _make("kb_describe", job, writer, path, bounds, rules, asking, as_json=as_json)


def _make(
    kind: str,
    job: DescriptionJob,
    generator: Generator,
    path: Path,
    bounds: Bounds,
    rules: Rules,
    asking: Asking,
    *,
    as_json: bool,
) -> None:
    """Estimate, ask a person, ask the generator, and say what came of it."""
    from reactions.core.errors import EXIT_STEP_FAILED
    from reactions.knowledge.generation.make import begin

    run = begin(
        job,
        generator,
        path,
        bounds,
        rules=rules,
        restart=asking.restart,
        overwrite=asking.overwrite,
    )
    try:
        if not asking.quiet:
            for notice in run.notices:
                say(f"note: {notice}")
        agree_to_questions(run.expectation(), generator, yes=asking.yes, quiet=asking.quiet)
        with descriptions(path.name, quiet=asking.quiet) as (on_progress, on_wait):
            result = run.run(on_progress, on_wait)
    finally:
        run.journal.close()
    for line in _missing(result):
        say(line)
    say_made(
        result.table,
        result.path,
        _remarks(result, bounds),
        kind,
        quiet=asking.quiet,
        as_json=as_json,
        facts=_facts(result, bounds),
    )
    if not result.is_complete:
        raise typer.Exit(EXIT_STEP_FAILED)


def _remarks(result: Made, bounds: Bounds) -> list[str]:
    """Return what was left out, what went wrong, and what it took."""
    outcome, remarks = result.outcome, []
    if outcome.dropped:
        remarks.append(f"left out: {_counts(outcome.dropped)}")
    if outcome.troubles:
        remarks.append(f"requests without a usable answer: {_counts(outcome.troubles)}")
    about = "about " if outcome.tokens_are_estimated else ""
    money = bounds.money(outcome.tokens_in, outcome.tokens_out)
    spent = f"{counted(outcome.requests, 'request')}, {about}{outcome.tokens_in:,} tokens read and "
    spent += f"{outcome.tokens_out:,} written"
    remarks.append(spent if money is None else f"{spent}: {about}{money:.4g} spent")
    return remarks


def _missing(result: Made) -> list[str]:
    """Return a warning of what is missing, and how to get it, a line each; [] if all is there."""
    short = result.outcome.short
    if not short:
        return []
    lines = [f"warning: {sum(short.values()):,} descriptions are missing, of {len(short):,}:"]
    for key, n in list(short.items())[:_SHOWN]:
        why = result.outcome.failed.get(key, "no more were left of what was answered")
        lines.append(f"  {key}: {n:,} missing ({why})")
    if len(short) > _SHOWN:
        lines.append(f"  and {len(short) - _SHOWN:,} more")
    how = "with larger --rounds" if short.keys() - result.outcome.failed.keys() else "again"
    return [*lines, f"  fix: the same command {how}; answers are kept in {result.journal}"]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in sorted(counts.items()))


def _facts(result: Made, bounds: Bounds) -> dict[str, Any]:
    outcome = result.outcome
    return {
        "complete": result.is_complete,
        "missing": outcome.short,
        "failed": outcome.failed,
        "troubles": dict(outcome.troubles),
        "requests": outcome.requests,
        "tokens_in": outcome.tokens_in,
        "tokens_out": outcome.tokens_out,
        "tokens_are_estimated": outcome.tokens_are_estimated,
        "cost": bounds.money(outcome.tokens_in, outcome.tokens_out),
        "journal": None if result.journal is None else str(result.journal),
    }
