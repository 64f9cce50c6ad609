"""``molspace show``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from molspace_cli import complete, options
from molspace_cli.amounts import counted
from molspace_cli.console import print_json, print_note, print_table
from molspace_cli.current import say_current
from molspace_cli.quality import rank_lines, remarks, row_line, tables
from molspace_cli.space_argument import named_space


@named_space
def show(
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="BUNDLE",
            autocompletion=complete.bundles,
            help="A bundle's directory.  [default: the last one made in this folder, or in the "
            "nearest above]",
            show_default=False,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Verify a bundle and say what it is.

    Examples:
      molspace show
      molspace show my-bundle --json
    """
    from reactions.products.bundles.bundle import load_bundle
    from reactions.products.bundles.current import current_bundle
    from reactions.products.tree import effective_factors, effective_means
    from reactions.products.tunings import learnings, tunings

    directory: str | Path | None = bundle
    if directory is None:
        current = current_bundle(naming="molspace show")
        directory = current.directory
        say_current(current.directory, current.reason)
    loaded = load_bundle(directory)
    if as_json:
        print_json("bundle", {"path": str(loaded.path), **loaded.record})
        return
    seed = loaded.record["lab"]["seed"]
    rows = [
        ("path", str(loaded.path)),
        ("reaction", loaded.expression),
        ("lab", loaded.lab if seed is None else f"{loaded.lab}, seed {seed}"),
        ("embeds", f"{', '.join(loaded.space.modalities)} in {loaded.space.dim} dimensions"),
    ]
    rows += [
        (name, ", ".join(f"{modality} {value:g}" for modality, value in values.items()))
        for name, values in effective_factors(loaded.space).items()
    ]
    rows += [
        (f"mean of {stage}", f"{mean}: rescaled to unit norm before it is weighted")
        for stage, mean in effective_means(loaded.space).items()
    ]
    rows += [
        (
            f"space {spec['name']}",
            f"{spec['dim']} dimensions, licence {spec['licence'] or '?'}"
            + (", less its modality means" if spec.get("centre") else ""),
        )
        for spec in loaded.record["spaces"]
    ]
    if tuned := loaded.record.get("tuned"):
        kept_texts = "".join(f", keeping {text}" for text in tuned["keep"])
        rows.append(("tuned for", f"{tuned['objective']}{kept_texts}; seed {tuned['seed']}"))
    if origin := loaded.record.get("imported"):
        n = len(origin["files"])
        rows.append(("imported from", f"{origin['from']}, {n} file{'s' if n > 1 else ''}"))
    else:
        rows += [
            (f"rows {count['modality']}", row_line([count]).removeprefix(f"{count['modality']} "))
            for count in loaded.record.get("rows", ())
        ] or [("rows", _no_rows(loaded.record))]
        rows += _projectors(loaded.record.get("projectors", ()))
        rows += [(f"solved {spaces}", line) for spaces, line, _ in rank_lines(loaded)]
    parts = loaded.record.get("parts", ())
    rows += [(f"tuned {about['modality']}", line) for about, line in tunings(parts)]
    rows += [(f"aligned {modality}", line) for modality, line in learnings(parts)]
    report = loaded.record.get("quality")
    if report is None:
        rows.append(("held back", "nothing: not measured when it was made"))
    rows.append(("digest", loaded.digest))
    print_table(f"bundle (lab: {loaded.lab})", ("field", "value"), rows)
    if report is not None:
        for table in tables(report):
            print_table(*table)
        for remark in remarks(report):
            print_note(remark.strip())


def _no_rows(record: Mapping[str, Any]) -> str:
    """Say why a bundle's record has no rows of corpora."""
    if "rows" in record:
        return "none: no projectors were trained"
    return "not recorded by the version that made it"


def _projectors(projectors: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Say what projectors were trained with, those with equal numbers in one line."""
    subsets: dict[tuple[str, str], list[str]] = {}
    for projector in projectors:
        if "chosen" not in projector:  # solved for, with no numbers to choose
            continue
        numbers = (
            f"hidden width {projector['hidden_dim']}, batch {projector['batch_size']}, "
            f"{counted(projector['epochs'], 'epoch')}"
            + (" (chosen by rows)" if projector["chosen"] else "")
        )
        subsets.setdefault((projector["pair"], numbers), []).append(projector["subset"])
    return [
        (f"trained {pair}", f"{', '.join(names)}: {numbers}")
        for (pair, numbers), names in subsets.items()
    ]
