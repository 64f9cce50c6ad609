"""A report as one HTML file that needs nothing beside it: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from reactions.core.errors import MissingError, StoreError, UsageError
from reactions.core.local_files import replace_file, writable_folder
from reactions.core.printable import printable
from reactions.encoders.packages import import_package
from reactions.experiments.report.contents import contents, page_data
from reactions.experiments.report.maps import Method
from reactions.experiments.report.product_report import ProductReport

SECTIONS: Mapping[str, str] = {
    "reaction": "The reaction",
    "spaces": "Spaces",
    "scores": "Scores",
    "surfaces": "Factor surfaces",
    "quality": "Held-out quality",
    "losses": "Training",
    "hops": "Pseudo-pairs",
    "map": "Map of the space",
    "gap": "Modality gap",
    "costs": "Costs and times",
}
"""Anchors and headings, in order."""

_PURPOSE = "the report"
_EXTRA = "report"


def check_packages() -> None:
    """Check that what draws a page is installed, before anything is computed for it.

    Raises:
        MissingError: jinja2 or plotly is not installed.
    """
    for package in ("jinja2", "plotly"):
        import_package(package, _PURPOSE, _EXTRA)


def render(report: ProductReport, *, method: Method = "pca") -> str:
    """Return the page.

    Everything is escaped where it stands, for names come from bundles and labs of anyone. The
    page may run its own two scripts, known by their digests, and reach no network.

    Raises:
        MissingError: jinja2 or plotly is not installed.
    """
    jinja2 = import_package("jinja2", _PURPOSE, _EXTRA)
    folder = files("reactions.experiments.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # What turns text around, or cannot be seen, is spelled out as on a terminal.
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= {
        "flops": _flops,
        "bytes": _bytes,
        "duration": _duration,
        "cosine": _cosine,
    }
    plotly, script = _plotly(), (folder / "report.js").read_text(encoding="utf-8")
    style = (folder / "report.css").read_text(encoding="utf-8")
    shown = contents(report, method)
    return str(
        environment.get_template("report.html").render(
            **shown,
            data=script_json(page_data(report, shown)),
            sections=SECTIONS,
            plotly=plotly,
            script=script,
            style=style,
            policy=_policy([plotly, script]),
        )
    )


def script_json(value: Any) -> str:
    """Return JSON that may stand in a ``<script>``: nothing in it can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII: U+2028 is escaped
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _policy(scripts: list[str]) -> str:
    """Return the Content-Security-Policy: these scripts, styles and images within, else nothing."""
    digests = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    # plotly.js styles its elements, and draws heat maps as images within the page.
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _plotly() -> str:
    """Return plotly.js as its Python package brings it.

    Raises:
        MissingError: the package, or the file in it, is not there.
    """
    import_package("plotly", _PURPOSE, _EXTRA)
    source = files("plotly") / "package_data" / "plotly.min.js"
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingError(
            "plotly is installed without plotly.js", why=str(error), fix="pip install -U plotly"
        ) from None
    # A browser hashes a script with the line ends that HTML has.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if re.search(r"</script", text, re.IGNORECASE):
        raise MissingError(
            "this version of plotly.js cannot stand in a page", fix="pip install -U plotly"
        )
    return text


def check_place(path: Path, *, overwrite: bool) -> None:
    """Refuse a place where no report can be written, before anything is computed for it.

    Raises:
        UsageError: a file is there and may not be replaced, or the place is a folder.
        StoreError: its folder cannot be made or written to.
    """
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder", fix="--out FILE, such as report.html")
    if not overwrite and (path.exists() or path.is_symlink()):
        raise UsageError(
            f"'{path}' already exists",
            fix="--overwrite to replace it, or another --out",
            files=[str(path)],
        )
    writable_folder(path.absolute().parent, f"'{path.name}'", "another place with --out")


def write(path: Path, html: str, *, overwrite: bool) -> None:
    """Write a page in one move.

    Raises:
        UsageError: see ``check_place``.
        StoreError: it cannot be written.
    """
    check_place(path, overwrite=overwrite)
    try:
        replace_file(path, html)
    except OSError as error:
        raise StoreError(
            f"cannot write the report to {path}",
            why=error.strerror or str(error),
            fix="another place: --out FILE",
        ) from None


def _scaled(value: float, units: tuple[str, ...], step: float = 1000.0) -> str:
    for unit in units[:-1]:
        if value < step:
            return f"{value:.0f} {unit}" if unit == units[0] else f"{value:.1f} {unit}"
        value /= step
    return f"{value:.1f} {units[-1]}"


def _flops(value: float) -> str:
    return _scaled(value, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"))


def _bytes(value: float) -> str:
    return _scaled(value, ("B", "kB", "MB", "GB", "TB"))


def _cosine(value: float) -> str:
    return f"{value:.3f}".replace("-0.000", "0.000").replace("-", "\u2212")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not recorded"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
