"""``molspace spaces``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import complete, opening, options
from molspace_cli.against import compared, refuse_unfit
from molspace_cli.console import (
    human_flops,
    print_json,
    print_note,
    print_path,
    print_table,
    say,
)
from molspace_cli.groups import grouped
from molspace_cli.progress import downloads

if TYPE_CHECKING:
    from reactions.core.types import Corpus, Item, Modality, SpaceSpec

app = typer.Typer(
    rich_markup_mode=None,
    help="The spaces a lab knows by name, and any model by URI.",
    invoke_without_command=True,
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME|URI",
        autocompletion=complete.spaces,
        help='A space of the lab, or a model such as "open_clip:ViT-B-32/openai".',
        show_default=False,
    ),
]


@app.callback()
def _default(
    context: typer.Context, lab: options.Lab = None, as_json: options.Json = False
) -> None:
    """List the spaces a lab knows by name; a quoted URI names any other model or folder."""
    if context.invoked_subcommand is None:
        list_spaces(lab, as_json=as_json)


@app.command("list")
def list_spaces(
    lab: options.Lab = None, weights: options.Weights = None, as_json: options.Json = False
) -> None:
    """List the spaces a lab knows by name, and whether their weights are on this machine.

    Examples:
      molspace spaces list
      molspace spaces list --lab paper --json
    """
    from dataclasses import asdict

    from reactions.labs.contents import described_spaces

    opened = opening.open_lab(lab, weights=weights, online=False)
    specs, absent = described_spaces(opened)
    opened.refuse_unused_weights(opened.catalogue.names())
    if as_json:
        print_json(
            "spaces",
            {
                "lab": opened.label,
                "spaces": [asdict(spec) for spec in specs],
                "missing": [
                    {"name": space.name, "state": space.state, "fix": space.remark}
                    for space in absent
                ],
            },
        )
        return
    rows = [
        (s.name, str(s.dim), ", ".join(s.modalities), s.hub or "-", s.licence or "-", s.revision)
        for s in specs
    ]
    rows += [(space.name, "-", space.state, "-", "-", "") for space in absent]
    print_table(
        f"lab: {opened.label}",
        ("space", "dim", "modalities", "hub", "licence", "revision"),
        rows,
    )
    for space in absent:
        print_note(f"{space.name}: {space.remark}")
    if any(spec.hub for spec in specs):
        print_note("hub: the modality that a space's training paired with each of its others")


@app.command("info")
@grouped
def info(
    name: Name,
    *,
    where: options.SpaceOptions,
    as_json: options.Json = False,
) -> None:
    """Show what is known of a space without loading it.

    Examples:
      molspace spaces info ImageBind
    """
    from dataclasses import asdict

    spec = _spec(where, name, online=False)
    if as_json:
        print_json("space", asdict(spec))
        return
    print_table(
        spec.name,
        ("field", "value"),
        [
            ("dim", str(spec.dim)),
            ("modalities", ", ".join(spec.modalities)),
            ("hub", spec.hub or "- (each modality was paired with each other)"),
            ("adapter", spec.adapter),
            ("weights", spec.source),
            ("sha256", spec.weights_digest or "-"),
            *((f"sha256 {m}", digest) for m, digest in spec.tower_digests),
            ("revision", spec.revision or "-"),
            ("licence", spec.licence or "unknown"),
            *((f"preprocessing {m}", tag) for m, tag in spec.preprocessing),
            *(
                (f"operations {m}", f"{human_flops(flops)} an item")
                for m, flops in spec.flops_per_item
            ),
        ],
    )


@app.command("fetch")
def fetch(
    name: Name,
    lab: options.Lab = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Download a space's weights; a stopped download goes on where it was.

    Weights have licences of their own, which are shown before (with --quiet, too), as far as
    they are known: ImageBind's, for one, does not allow commercial use.

    Examples:
      molspace spaces fetch CLAP_g --lab paper
    """
    from reactions.core.errors import UsageError
    from reactions.core.interrupts import on_interrupt
    from reactions.encoders.registry import requirements
    from reactions.weights.download import fetch as download
    from reactions.weights.locate import WeightLocator, WeightsRepo, digest_cache

    opened = opening.open_lab(lab)
    space, uri = opened.uri_of(name)
    needed = requirements(uri)
    if not needed:
        if space == uri:
            opened.catalogue.by_uri(uri)  # which raises if it means nothing
        raise UsageError(
            f"there is nothing to fetch for '{name}'",
            why="its weights come with molspace" if space != uri else "it lies on this machine",
        )
    licences = {
        file.repo if isinstance(file, WeightsRepo) else file.name: file.licence for file in needed
    }
    for weights, licence in licences.items():
        if licence:
            say(f"{weights}: {_licence(licence)}")
    with on_interrupt("what was downloaded is kept; the same command goes on"):
        files = download(
            space,
            needed,
            WeightLocator.of_environment(),
            digest_cache(),
            on_progress=downloads(quiet=quiet),
        )
    if as_json:
        print_json(
            "fetch",
            {
                "space": space,
                "files": [
                    {
                        "name": file.name,
                        "path": str(file.path),
                        "was_there": file.was_there,
                        "licence": file.licence,
                        "sha256": file.sha256,
                    }
                    for file in files
                ],
            },
        )
        return
    for file in files:
        terms = "" if licences.get(file.name) else _licence(file.licence)
        if not quiet:
            state = "was there" if file.was_there else "fetched"
            say("; ".join(filter(None, (f"{file.name}: {state}", terms))))
        elif terms and file.licence:
            say(f"{file.name}: {terms}")
        print_path(file.path)


@app.command("doctor")
@grouped
def doctor(
    name: Name,
    *,
    where: options.SpaceOptions,
    device: options.Device = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Store these outputs in place of earlier ones.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="PACKAGE",
            autocompletion=complete.packages,
            help="Instead of all that, run the package that published the model on the same "
            "weights and compare embeddings: laion_clap, open_clip, transformers or imagebind.",
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            "--samples",
            metavar="FOLDER",
            help="With --against: your own pictures, sounds, and .txt files of a text a line, "
            "in place of generated ones.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Examine a space: dimensions, norms, chance, collapsed towers, stored outputs, speed.

    Exits with 4 if something is wrong, or if a space and a package differ.

    Examples:
      molspace spaces doctor ImageBind
      molspace spaces doctor CLAP_g --lab paper --weights CLAP_g=clap.pt
      molspace spaces doctor CLAP_g --lab paper --against laion_clap
    """
    from reactions.core.errors import EXIT_STEP_FAILED
    from reactions.core.paths import cache_root
    from reactions.encoders.doctor import ITEMS, examine
    from reactions.encoders.official.packages import fitting
    from reactions.encoders.precomputed.corpora import common_corpus
    from reactions.encoders.registry import load
    from reactions.labs import mini
    from reactions.run.device import chosen_device, resolve_devices

    refuse_unfit(against, samples, renew=renew)
    spec = _spec(where, name)
    place = resolve_devices(chosen_device(device))[0]
    if against is not None:
        if not compared(spec, against, samples, device=place, as_json=as_json):
            raise typer.Exit(EXIT_STEP_FAILED)
        return
    say(f"loading {spec.name}")  # which takes minutes, as trying a large model does
    encoder = load(spec, device=place)
    tried: dict[Modality, list[Item]] = {}
    for modality in spec.modalities:
        if spec.adapter == "precomputed":  # which knows its own items alone
            corpus: Corpus = common_corpus([spec], modality)
        elif modality in mini.MODALITIES:
            corpus = mini.corpus(modality, n=ITEMS, seed=0)
        else:
            continue
        tried[modality] = corpus.items(0, min(ITEMS, len(corpus)))
    goldens = cache_root() / "goldens"
    findings = examine(
        encoder,
        tried,
        goldens=goldens,
        renew=renew,
        device=place,
        for_plans=True,
        began=lambda modality, n: say(f"examining {modality}: {n} samples, several times"),
    )
    failed = [finding for finding in findings if finding.verdict == "failed"]
    if as_json:
        print_json(
            "doctor", {"space": spec.name, "findings": [finding.to_json() for finding in findings]}
        )
    else:
        print_table(
            f"{spec.name}: {len(failed)} wrong" if failed else f"{spec.name}: fit for use",
            ("check", "modality", "verdict", "found", "advice"),
            [
                (
                    finding.check,
                    finding.modality or "-",
                    finding.verdict,
                    finding.value,
                    finding.advice,
                )
                for finding in findings
            ],
        )
        for package in fitting(spec):
            print_note(f"--against {package} compares it with that package on the same weights")
    if failed:
        raise typer.Exit(EXIT_STEP_FAILED)


def _spec(where: options.SpaceOptions, name: str, *, online: bool = True) -> SpaceSpec:
    opening.allow_remote_code(where.trust)
    lab = opening.open_lab(where.lab, weights=where.weights, online=online)
    if name in lab.catalogue or not any(sign in name for sign in ":/"):
        spec = lab.catalogue.by_name(name)
    else:
        spec = lab.catalogue.by_uri(name)
    lab.refuse_unused_weights([spec.name])
    return spec


def _licence(licence: str) -> str:
    if not licence:
        return "licence unknown: see where it comes from"
    restricted = "NC" in licence.upper().replace("_", "-").split("-")
    return f"licence {licence}" + (": NOT for commercial use" if restricted else "")
