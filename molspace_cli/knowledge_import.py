"""``molspace kb import``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import opening, options
from molspace_cli.console import print_json, print_path, say
from molspace_cli.groups import Group, grouped
from molspace_cli.knowledge_made import say_made

if TYPE_CHECKING:
    from reactions.knowledge.base import DescribedCorpus
    from reactions.knowledge.imports.imported import ImportedRows

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Make a knowledge base of descriptions in other forms.",
)

Out = Annotated[
    Path,
    typer.Option("--out", metavar="FILE.parquet", help="The knowledge base.", show_default=False),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file.")]

_PICKLES = (".pkl", ".pickle", ".pt", ".pth")
"""Endings of files of centres, which are not JSON."""


@dataclass(frozen=True)
class KnowledgeFacts(Group):
    """What the imported files do not say."""

    modality: Annotated[
        str, typer.Option("--modality", metavar="NAME", help="Of the items that are described.")
    ] = ""
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="That wrote them, where no row says it.")
    ] = ""
    prompt: Annotated[
        str, typer.Option("--prompt", metavar="TEXT", help="That it was asked with, likewise.")
    ] = ""
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="NAME", help="Whose categories they are.")
    ] = ""
    token_limit: Annotated[
        int,
        typer.Option("--token-limit", metavar="N", min=1, help="CLIP tokens that a row may have."),
    ] = 77
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            "--corpus",
            metavar="NAME",
            help="The corpus whose items are described: a modality of the lab's corpora, TASK, or "
            "TASK:SPLIT. Repeatable, one a modality.",
        ),
    ] = None
    lab: options.Lab = None
    data: options.Data = None

    def refuse_any(self, why: str) -> None:
        """Refuse options that would be ignored.

        Raises:
            UsageError: one of them is given.
        """
        from reactions.core.errors import UsageError

        for option in fields(self):
            if getattr(self, option.name) != option.default:
                flag = f"--{option.name.replace('_', '-')}"
                raise UsageError(
                    f"{flag} goes with descriptions, not with centres", why=why, fix="leave it out"
                )


@app.callback()
def _group() -> None:
    """Make a knowledge base of descriptions in other forms."""


@app.command("table")
@grouped
def table(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="csv, tsv, jsonl or parquet with columns ID, Category, Description, Source.",
            show_default=False,
        ),
    ],
    out: Out,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            metavar="LLM|MLLM|label|human",
            help="What all rows are; what the column says is then the model.",
        ),
    ] = "",
    *,
    facts: KnowledgeFacts,
    overwrite: Overwrite = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Import tables of descriptions, and print the knowledge base's path.

    Columns are found in any case; modality, model, prompt and seed may be there, too. What is left
    out is counted and told.

    Examples:
      molspace kb import table birds.csv --source LLM --out birds.parquet
    """
    from reactions.knowledge.exporting import check_knowledge_out
    from reactions.knowledge.files import SUFFIX
    from reactions.knowledge.imports.tables import Defaults, read_tables

    check_knowledge_out(out, overwrite=overwrite, formats=(SUFFIX,))
    if facts.modality:
        _check_modality(facts.modality)
    defaults = Defaults(source, facts.modality, facts.model, facts.prompt)
    imported = read_tables([_expanded(file) for file in files], defaults)
    _write(imported, out, facts, facts.dataset, quiet=quiet, as_json=as_json)


@app.command("unibind")
@grouped
def unibind(
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR|FILE...",
            help="A data set's folder or its files (train_data.json, ...), or a file of centres "
            "(.pkl).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The knowledge base (.parquet); for centres, their file (.safetensors).",
            show_default=False,
        ),
    ],
    *,
    facts: KnowledgeFacts,
    overwrite: Overwrite = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Import UniBind's released JSON, or its centres, and print the file's path.

    The JSON names files of items, their labels and, in training files, a description. It says
    nothing of the items' modality: --modality does.

    Examples:
      molspace kb import unibind descriptions/ --out kb.parquet
      molspace kb import unibind centres.pkl --out centres.safetensors
    """
    from reactions.core.errors import UsageError
    from reactions.knowledge.exporting import check_knowledge_out
    from reactions.knowledge.files import SUFFIX
    from reactions.knowledge.imports.unibind import read_unibind, unibind_files

    places = [_expanded(place) for place in places]
    if any(place.suffix.lower() in _PICKLES for place in places):
        facts.refuse_any(f"'{places[0]}' is a file of centres")
        _import_centres(places, out, overwrite=overwrite, quiet=quiet, as_json=as_json)
        return
    check_knowledge_out(out, overwrite=overwrite, formats=(SUFFIX,))
    if not facts.modality:
        raise UsageError(
            "the files do not say what they describe",
            fix="--modality image, or audio, video, point, event, thermal",
        )
    _check_modality(facts.modality)
    files = unibind_files(places)
    imported = read_unibind(files, facts.modality, model=facts.model, prompt=facts.prompt)
    dataset = facts.dataset or files[0].absolute().parent.name
    _write(imported, out, facts, dataset, quiet=quiet, as_json=as_json)


def _import_centres(
    places: Sequence[Path], out: Path, *, overwrite: bool, quiet: bool, as_json: bool
) -> None:
    """Import a pickle of centres, and print the path of the file that holds them."""
    from reactions.core.errors import UsageError
    from reactions.exchange.import_unibind import import_centres

    if len(places) > 1:
        raise UsageError(
            f"{len(places)} files are not one file of centres", fix="import each to its own --out"
        )
    imported = import_centres(places[0], out, overwrite=overwrite)
    file = imported.file
    if not quiet:
        for notice in imported.notices:
            say(f"note: {notice}")
        n_rows = sum(category.n_rows for category in file.categories)
        say(
            f"{n_rows:,} rows of {len(file.categories):,} categories, {file.dim} dimensions; they "
            f"are of the text encoder of {file.space}: molspace eval --centres {out}"
        )
    if as_json:
        categories = {category.name: category.n_rows for category in file.categories}
        about = {"path": str(out), "dim": file.dim, "space": file.space, "categories": categories}
        print_json("centres", {**about, "notices": list(imported.notices)})
        return
    print_path(out)


def _expanded(path: Path) -> Path:
    from reactions.core.local_files import expand_user

    return expand_user(path)


def _check_modality(name: str) -> None:
    from reactions.core.errors import UsageError, did_you_mean, suggestion
    from reactions.modalities.registry import names
    from reactions.modalities.text import TEXT

    modalities = [modality for modality in names() if modality != TEXT.name]
    # Corpora may have modalities of any other name, too: only slips are refused.
    if name not in modalities and did_you_mean(name, modalities):
        raise UsageError(f"there is no modality '{name}'", fix=suggestion(name, modalities))


def _write(
    imported: ImportedRows,
    out: Path,
    facts: KnowledgeFacts,
    dataset: str,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    from reactions.knowledge.base import KnowledgeTable
    from reactions.knowledge.files import write_knowledge

    items, remarks = _described(imported, facts)
    metadata = imported.metadata(dataset=dataset, token_limit=facts.token_limit, items=items)
    table = KnowledgeTable(str(out), imported.rows, metadata)
    write_knowledge(out, table.rows(), metadata)
    say_made(table, out, [*imported.remarks, *remarks], "kb_import", quiet=quiet, as_json=as_json)


def _described(
    imported: ImportedRows, facts: KnowledgeFacts
) -> tuple[dict[str, DescribedCorpus], list[str]]:
    """Return the corpora that rows describe, and what is to be told of them."""
    from reactions.core.errors import UsageError
    from reactions.knowledge.base import DescribedCorpus
    from reactions.knowledge.imports.imported import described_by

    modalities = sorted({row.modality for row in imported.rows if row.modality})
    items: dict[str, DescribedCorpus] = {}
    remarks: list[str] = []
    if facts.corpus:
        lab = opening.open_lab(facts.lab, data=facts.data)
        for name in facts.corpus:
            corpus = lab.named_corpus(name)
            if corpus.modality in items:
                raise UsageError(f"--corpus names two corpora of {corpus.modality}")
            n, n_found = described_by(imported.rows, corpus, name)
            items[corpus.modality] = DescribedCorpus(name, corpus.digest)
            if n_found < n:
                remarks.append(f"{n - n_found:,} of {n:,} described items are not in '{name}'")
    for modality in modalities:
        if modality not in items:
            remarks.append(
                f"nothing says which {modality} items are described: --corpus NAME, or later "
                f'items = {{ {modality} = "NAME" }} under [kb.NAME] in a lab file'
            )
    return items, remarks
