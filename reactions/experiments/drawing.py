"""A figure of the paper as files: a drawing as PNG and SVG, the long table as parquet and csv."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import StoreError
from reactions.core.local_files import writable_folder
from reactions.encoders.packages import import_package
from reactions.experiments.paper.figures import SYMBOLS
from reactions.experiments.surfaces import MeasuredFigure, Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

_COLOURS = "PuOr_r"  # both ends stay apart for every kind of colour blindness, and in grey print
_GREY = "#7f7f7f"
_LETTERS = {"sigma": "\N{GREEK SMALL LETTER SIGMA}", "lambda": "\N{GREEK SMALL LETTER LAMDA}"}
_STYLE = {
    "svg.hashsalt": "molspace",  # ids of an SVG are random else
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 10,
    "axes.titlesize": 11,
}


def write_figure(measured: MeasuredFigure, folder: Path) -> tuple[Path, ...]:
    """Write a figure's four files, ``figureN.png``, ``.svg``, ``.parquet`` and ``.csv``.

    Files of these names are replaced, each as a whole.

    Args:
        measured: with at least one surface.
        folder: made if it is not there.

    Returns:
        Their paths.

    Raises:
        MissingError: matplotlib or pyarrow is not installed.
        StoreError: the folder cannot be written to.
    """
    need_drawing()
    table = measured.to_arrow()
    parquet = import_package("pyarrow.parquet", "the table of a figure", "report")
    csv = import_package("pyarrow.csv", "the table of a figure", "report")
    contents = _drawn(measured)
    for suffix, write in (("parquet", parquet.write_table), ("csv", csv.write_csv)):
        buffer = io.BytesIO()
        write(table, buffer)
        contents[suffix] = buffer.getvalue()
    writable_folder(folder, "figures", "name another folder with --out")
    paths = []
    for suffix, data in contents.items():
        paths.append(folder / f"{measured.figure.name}.{suffix}")
        _replace(paths[-1], data)
    return tuple(paths)


def need_drawing() -> None:
    """Check that figures can be written, before hours are spent on one.

    Raises:
        MissingError: matplotlib or pyarrow is not installed.
    """
    from reactions.encoders.packages import need_package

    need_package("matplotlib", "--out", "report")
    need_package("pyarrow", "--out", "report")


def _replace(path: Path, data: bytes) -> None:
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(data)
        temporary = Path(file.name)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(
            f"cannot write '{path}'",
            why=error.strerror or str(error),
            fix="name another folder with --out",
        ) from None


def _drawn(measured: MeasuredFigure) -> dict[str, bytes]:
    """Draw; the same figures give the same bytes."""
    matplotlib = import_package("matplotlib", "the drawing of a figure", "report")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn: dict[str, bytes] = {}
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}):
        figure = Figure(figsize=(4.6 * len(measured.surfaces), 8.4), layout="constrained")
        FigureCanvasAgg(figure)
        _fill(figure, measured)
        for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=140, metadata=metadata)
            drawn[suffix] = buffer.getvalue()
    return drawn


def _fill(figure: Figure, measured: MeasuredFigure) -> None:
    from matplotlib.colors import Normalize

    paper = measured.figure
    figure.suptitle(
        f"{paper.product.name} over {paper.reference.name}: points of mean R@1   "
        f"(Molecule-Space, figure {paper.number})\nlab: {measured.lab}   seed: {measured.seed}"
    )
    columns = len(measured.surfaces)
    for i, surface in enumerate(measured.surfaces):
        # A scale of its own: gains of audio-text are ten times those of audio-image.
        limit = max(1.0, float(np.nanmax(np.abs(surface.gains))))
        norm = Normalize(-limit, limit)
        above = figure.add_subplot(2, columns, i + 1, projection="3d")
        _draw_surface(above, surface, measured, norm)
        below = figure.add_subplot(2, columns, columns + i + 1)
        drawn = _draw_map(below, surface, measured, norm)
        bar = figure.colorbar(drawn, ax=below, orientation="horizontal", shrink=0.8, aspect=30)
        bar.set_label(f"points over {paper.reference.name}'s {surface.reference:.1f}")


def _draw_surface(axes: Any, surface: Surface, measured: MeasuredFigure, norm: Normalize) -> None:
    """Draw a surface in three dimensions, with the grey plane where it belongs."""
    x, y = np.meshgrid(surface.x, surface.y)
    axes.plot_surface(
        x,
        y,
        surface.gains,
        cmap=_COLOURS,
        norm=norm,
        edgecolor="#404040",
        linewidth=0.25,
        rcount=len(surface.y),
        ccount=len(surface.x),
    )
    title = _title(surface)
    if surface.plane is not None:
        plane = np.full_like(surface.gains, surface.plane)
        axes.plot_surface(x, y, plane, color=_GREY, alpha=0.45, shade=False)
        title += f"\ngrey: {measured.figure.plane.name}, {surface.plane:+.1f}"
    axes.set_title(title)
    x_label, y_label = _labels(measured)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.view_init(elev=24, azim=-128)
    axes.set_box_aspect(None, zoom=1.1)


def _draw_map(axes: Axes, surface: Surface, measured: MeasuredFigure, norm: Normalize) -> Any:
    """Draw a surface from above: colours, lines of equal gain, and where it is largest."""
    drawn = axes.pcolormesh(
        surface.x, surface.y, surface.gains, cmap=_COLOURS, norm=norm, shading="nearest"
    )
    low, high = float(np.nanmin(surface.gains)), float(np.nanmax(surface.gains))
    if min(surface.gains.shape) > 1 and high > low:
        lines = axes.contour(
            surface.x, surface.y, surface.gains, 7, colors="#303030", linewidths=0.7
        )
        for label in axes.clabel(lines, fmt="%+.1f", fontsize=8):
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8})
        if low < 0 < high:
            axes.contour(surface.x, surface.y, surface.gains, [0.0], colors="black", linewidths=2)
        if surface.plane is not None and low < surface.plane < high:
            plane = [surface.plane]
            axes.contour(
                surface.x, surface.y, surface.gains, plane, colors=_GREY, linestyles="dashed",
                linewidths=2,
            )  # fmt: skip
    best_x, best_y, best = surface.best()
    axes.plot(
        best_x, best_y, "*", markersize=13, markerfacecolor="white", markeredgecolor="black",
        clip_on=False,
    )  # fmt: skip
    x_label, y_label = _labels(measured)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(
        f"{_title(surface)}: best {round(best, 1) + 0.0:+.1f} at ({best_x:g}, {best_y:g})"
    )
    axes.set_aspect("equal")
    return drawn


def _title(surface: Surface) -> str:
    return f"Δ {SYMBOLS[surface.family]}, {surface.family}"


def _labels(measured: MeasuredFigure) -> tuple[str, str]:
    figure = measured.figure
    letter = _LETTERS[figure.factor]
    return f"{letter} {figure.x}", f"{letter} {figure.y}"
