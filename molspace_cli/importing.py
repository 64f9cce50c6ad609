"""``molspace import``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli import complete, opening, options
from molspace_cli.console import print_json, print_path, say
from molspace_cli.current import make_current
from molspace_cli.groups import grouped

if TYPE_CHECKING:
    from reactions.labs.lab import Lab as LoadedLab
    from reactions.products.bundles.bundle import Bundle

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Turn projectors that others published into bundles.",
)

_Lab = Annotated[
    str | None,
    typer.Option(
        "--lab",
        metavar="NAME|FILE",
        autocompletion=complete.labs,
        help="Where the spaces come from.  [default: $MOLSPACE_LAB, else "
        "./molspace.toml, else paper]",
    ),
]


@dataclass(frozen=True)
class ImportOptions(options.SpaceOptions):
    """Where the spaces of published projectors come from."""

    lab: _Lab = None

    def open(self) -> "LoadedLab":
        """Open the lab; what was published goes with the published spaces, not the rehearsal's."""
        from reactions.core.environment import chosen_lab
        from reactions.labs.lab_file import OWN_LAB

        opening.allow_remote_code(self.trust)
        name = chosen_lab(self.lab) or (None if Path(OWN_LAB).is_file() else "paper")
        return opening.open_lab(name, weights=self.weights)


@app.command("freebind")
@grouped
def freebind(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Holds the published folders: InternVL_IB_Proj, IB_PP_G_Proj, ...",
            show_default=False,
        ),
    ],
    product: Annotated[
        str | None,
        typer.Option(
            "--product",
            metavar="NAME",
            help="IB_PP (ImageBind++), InternVL_IB, InternVL_IB_PP (InternVL_IB++), with the tuned "
            "audio encoder InternVL_IB_FT (-dagger), InternVL_IB_FTPP (-dagger++), or with one "
            "expert IB_PP_G, ...  [default: all that the folders make]",
        ),
    ] = None,
    *,
    spaces: ImportOptions,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The bundle's directory; without --product, a folder for one of each product.",
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Import FreeBind's projectors, and its tuned audio encoder, and print each bundle's path.

    Every file is read safely and checked before anything is written. A single bundle becomes
    the one that eval and infer use in this folder.

    Examples:
      molspace import freebind checkpoints/
      molspace import freebind checkpoints/ --product IB_PP --out ib-pp
    """
    from reactions.core.local_files import expand_user
    from reactions.exchange.import_freebind import import_freebind

    imported = import_freebind(
        expand_user(folder),
        spaces.open(),
        name=product,
        out=out,
        on_notice=(lambda remark: None) if quiet else say,
    )
    if len(imported) == 1:
        make_current(imported[0].bundle.path)
    if as_json:
        bundles = [_shown(entry.product.name, entry.bundle) for entry in imported]
        print_json("import", {"from": "freebind", "bundles": bundles})
        return
    for entry in imported:
        print_path(entry.bundle.path)


_CLIP, _CLAP = "hf:openai/clip-vit-base-patch32", "CLAP_g"


def _add_mcr(recipe: str, file: str, about: str) -> None:
    @app.command(recipe, help=about)
    @grouped
    def mcr(
        path: Annotated[
            Path,
            typer.Argument(metavar="FILE|DIR", help=f"{file}, or its folder.", show_default=False),
        ],
        base: Annotated[
            str,
            typer.Option("--base", metavar="NAME|URI", help="The space of images: CLIP ViT-B/32."),
        ] = _CLIP,
        expert: Annotated[
            str,
            typer.Option("--expert", metavar="NAME|URI", help="The space of sound: general CLAP."),
        ] = _CLAP,
        *,
        spaces: ImportOptions,
        out: Annotated[
            Path | None, typer.Option("--out", metavar="DIR", help="The bundle's directory.")
        ] = None,
        quiet: options.Quiet = False,
        as_json: options.Json = False,
    ) -> None:
        from reactions.core.local_files import expand_user
        from reactions.exchange.import_mcr import import_mcr

        lab = spaces.open()
        bundle = import_mcr(recipe, expand_user(path), lab, base=base, expert=expert, out=out)
        make_current(bundle.path)
        product = bundle.record["imported"]["product"]
        if not quiet:
            say(f"{product}: {bundle.expression}")
        if as_json:
            print_json("import", {"from": recipe, "bundles": [_shown(product, bundle)]})
        else:
            print_path(bundle.path)


_add_mcr(
    "cmcr",
    "clap_clip.pt",
    """Import C-MCR's heads for CLAP and CLIP, and print the bundle's path.

    Both spaces are projected into a new one. As published, text comes from CLIP alone.

    Examples:

      molspace import cmcr checkpoints/clap_clip.pt
    """,
)
_add_mcr(
    "exmcr",
    "ex_clap.pt",
    """Import Ex-MCR's head, CLAP into CLIP, and print the bundle's path.

    As published, text comes from CLIP alone.

    Examples:

      molspace import exmcr checkpoints/ex_clap.pt
    """,
)


@app.command("unibind")
@grouped
def unibind(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="What UniBind's train.py wrote: event_model_best.pt, ...; one a modality.",
            show_default=False,
        ),
    ],
    backbone: Annotated[
        str,
        typer.Option("--backbone", metavar="NAME|URI", help="What the layers stand behind."),
    ] = "ImageBind",
    *,
    spaces: ImportOptions,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The bundle's directory.")
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Import layers trained with UniBind's code, and print the bundle's path.

    Examples:
      molspace import unibind text.pt image.pt
    """
    from reactions.core.local_files import expand_user
    from reactions.exchange.unibind_heads import PRODUCT, import_layers

    paths = [expand_user(path) for path in files]
    imported = import_layers(paths, spaces.open(), space=backbone, out=out)
    make_current(imported.bundle.path)
    if not quiet:
        say(f"{PRODUCT}: {imported.bundle.expression}")
        for notice in imported.notices:
            say(f"note: {notice}")
    if as_json:
        print_json("import", {"from": "unibind", "bundles": [_shown(PRODUCT, imported.bundle)]})
    else:
        print_path(imported.bundle.path)


def _shown(product: str, bundle: "Bundle") -> dict[str, Any]:
    return {
        "product": product,
        "bundle": str(bundle.path),
        "expression": bundle.expression,
        "dim": bundle.space.dim,
        "lab": bundle.lab,
        "digest": bundle.digest,
    }
