"""``molspace export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molspace_cli import complete, factors, options
from molspace_cli.console import print_json, print_path, say


def export(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            autocompletion=complete.bundles,
            help="A bundle's directory.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str,
        typer.Option("--to", metavar="torch|onnx", help="What loads it.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A new folder.", show_default=False)
    ],
    sigma: options.Sigma = None,
    lambda_: options.Lambda = None,
    experts: options.Experts = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export.")
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write a product's trained heads for other tools, and print the folder's path.

    Each modality becomes a file that takes embeddings of the product's spaces and gives the
    product's own, with torch or an ONNX runtime alone. Factors and experts are fixed in it. Every
    file is loaded again and compared: numbers differ by 1e-5 at most. Encoders are not exported.

    Examples:
      molspace export my-bundle --to torch --out heads
      molspace export my-bundle --to onnx --sigma 0.5,0.1 --out heads-onnx
    """
    from reactions.core.errors import UsageError, suggestion
    from reactions.exchange.exporting.folder import export_heads
    from reactions.exchange.exporting.graphs import FORMS
    from reactions.products.bundles.bundle import load_bundle
    from reactions.products.target import Target

    form = next((known for known in FORMS if known == to), None)
    if to == "sentence-transformers":
        raise UsageError(
            "export to sentence-transformers is not built",
            why="its standard modules take one encoder and dense layers, and a product of several "
            "spaces averages projectors that are each rescaled to unit norm",
            fix="--to torch   or   --to onnx",
        )
    if form is None:
        raise UsageError(f"--to {to} is unknown", fix=suggestion(to, FORMS))
    chosen = factors.adjustment(sigma, lambda_, experts)
    target = Target.of_bundle(load_bundle(bundle))
    exported = export_heads(target, form, out, chosen, overwrite=overwrite)
    if not quiet:
        say(f"{target.name}   lab: {target.lab}")
        for modality, about in exported.config["modalities"].items():
            takes = ", ".join(given["name"] for given in about["inputs"])
            gap = about["largest_difference"]
            say(f"{about['file']}: {modality} of {takes}; loaded again, differs by {gap:.1e}")
        for modality, why in exported.left_out.items():
            say(f"note: {modality} is left out: {why}")
    if as_json:
        print_json("export", {"path": str(exported.path), **exported.config})
    else:
        print_path(exported.path)
