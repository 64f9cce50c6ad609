"""``molspace spaces doctor --against``: a space beside the published package of its model."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from molspace_cli.console import print_json, print_note, print_table, say

if TYPE_CHECKING:
    from reactions.core.types import SpaceSpec
    from reactions.encoders.official.comparison import Agreement, PackageComparison


def refuse_unfit(against: str | None, samples: Path | None, *, renew: bool) -> None:
    """Refuse options that do not go together, before anything is opened.

    Raises:
        UsageError: they do not, or no package is called so.
    """
    from reactions.core.errors import UsageError
    from reactions.encoders.official.names import NAMES, known

    if against is None:
        if samples is not None:
            raise UsageError(
                "--samples is what a space and a package are compared on",
                fix=f"add --against {', '.join(NAMES[:-1])} or {NAMES[-1]}",
            )
        return
    known(against)
    if renew:
        raise UsageError("--against stores no outputs that --renew could replace")


def compared(
    spec: SpaceSpec, against: str, samples: Path | None, *, device: str, as_json: bool
) -> bool:
    """Compare a space with a package, and print how near they are.

    Args:
        spec: the space.
        against: the package.
        samples: a folder with a person's own files; None takes generated ones.
        device: on which both compute.
        as_json: print a JSON object.

    Returns:
        Whether they agree.

    Raises:
        MolspaceError: they cannot be compared.
    """
    from reactions.encoders.official import probes
    from reactions.encoders.official.comparison import compare
    from reactions.encoders.official.packages import choose

    package = choose(against, spec)
    package.require()
    of_items = [m for m in spec.modalities if m in package.of_items]
    with TemporaryDirectory(prefix="molspace-") as folder:
        if samples is None:
            items = probes.generated(Path(folder), of_items)
        else:
            items, remarks = probes.own_files(samples, of_items)
            for remark in remarks:
                say(remark)
        result = compare(spec, package, items, device=device, began=say)
    if as_json:
        print_json(
            "doctor_against",
            {
                "space": spec.name,
                "package": against,
                "agrees": not result.disagreements,
                "agreements": [agreement.to_json() for agreement in result.agreements],
                "pins": dict(result.pins),
                "left_out": result.left_out,
            },
        )
    else:
        _print(spec, against, result)
    return not result.disagreements


def _print(spec: SpaceSpec, against: str, result: PackageComparison) -> None:
    n = len(result.disagreements)
    whole = all(agreement.items for agreement in result.agreements)
    same = "the same embeddings" + ("" if whole else " of what was compared")
    verdict = f"{n} wrong" if n else same
    print_table(
        f"{spec.name} against {against}: {verdict}",
        ("modality", "setting", "items", "difference", "cosine", "where", "verdict"),
        [_row(agreement) for agreement in result.agreements],
    )
    for agreement in result.agreements:
        if agreement.remark:
            print_note(f"{agreement.modality}: {agreement.remark}")
    for modality, text in result.pins.items():
        print_note(f"pinned in {against}, {modality}: {text}")
    for text in result.left_out:
        print_note(f"left out: {text}")
    bounds = sorted({agreement.bound for agreement in result.agreements if agreement.bound})
    print_note(
        "difference: the largest of two numbers of unit-norm embeddings, "
        f"{' or '.join(f'{bound:g}' for bound in bounds)} at most; cosine: the smallest"
    )


def _row(agreement: Agreement) -> tuple[str, ...]:
    if not agreement.items:
        return (agreement.modality, "-", "0", "-", "-", "-", agreement.verdict)
    return (
        agreement.modality,
        agreement.setting,
        str(agreement.items),
        f"{agreement.difference:.1e}",
        f"{agreement.cosine:.6f}",
        agreement.worst,
        agreement.verdict,
    )
