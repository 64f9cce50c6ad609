"""``molspace export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import factors, options
from molspace_cli.console import print_json, print_path, say
from molspace_cli.space_argument import named_space

if TYPE_CHECKING:
    from reactions.products.tree import Adjustment


@named_space
def export(
    bundle: options.Bundle,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="torch|onnx|sentence-transformers",
            help="What loads it.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A new folder.", show_default=False)
    ],
    sigma: options.Sigma = None,
    lambda_: options.Lambda = None,
    experts: options.Experts = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="With the encoders, where they can be written out (torch, onnx)."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export.")
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write a product for other tools, and print the folder's path.

    For torch and ONNX each modality becomes a file that takes embeddings of the product's spaces
    and gives the product's own; with --whole, one that takes prepared items. For
    sentence-transformers a product that is one hf: encoder and one projector in a modality becomes
    a model. Factors and experts are fixed. What was written is loaded again: numbers differ by
    1e-5 at most.

    Examples:
      molspace export my-bundle --to torch --out heads
      molspace export my-bundle --to onnx --sigma 0.5,0.1 --out heads-onnx
      molspace export my-bundle --to sentence-transformers --lambda 0 --out st
    """
    from reactions.core.errors import UsageError, suggestion
    from reactions.exchange.exporting.folder import export_heads
    from reactions.exchange.exporting.graphs import FORMS
    from reactions.exchange.exporting.sentence import FORM, export_sentence
    from reactions.inference.embedder import Embedder
    from reactions.products.bundles.bundle import load_bundle
    from reactions.products.target import Target
    from reactions.session import load_encoder

    form = next((name for name in FORMS if name == to), None)
    if form is None and to != FORM:
        what = f"--to: '{to}' is not a form of export"
        raise UsageError(what, fix=suggestion(to, (*FORMS, FORM)))
    if form is None and whole:
        raise UsageError(f"--whole says nothing of {FORM}", why="a model is whole", fix="drop it")
    adjustment = factors.adjustment(sigma, lambda_, experts)
    target = Target.of_bundle(load_bundle(bundle))

    def embedder(fitted: Adjustment) -> Embedder:
        return Embedder(target, load_encoder=load_encoder, device="cpu", adjustment=fitted)

    if form is None:
        exported = export_sentence(target, out, embedder, adjustment, overwrite=overwrite)
    else:
        with_encoders = embedder if whole else None
        exported = export_heads(
            target, form, out, adjustment, overwrite=overwrite, whole=with_encoders
        )
    if not quiet:
        say(f"{target.name}   lab: {target.lab}")
        for modality, about in exported.config["modalities"].items():
            if form is None:
                what = f"{modality} of {about['space']}"
            else:
                takes = ", ".join(entry["name"] for entry in about["inputs"])
                what = f"{about['file']}: {modality} of {takes}"
            say(f"{what}; loaded again, differs by {about['largest_difference']:.1e}")
        for modality, why in exported.left_out.items():
            say(f"note: {modality} is left out: {why}")
    if as_json:
        print_json("export", {"path": str(exported.path), **exported.config})
    else:
        print_path(exported.path)
