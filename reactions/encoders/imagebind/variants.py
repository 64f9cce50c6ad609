"""Ways to prepare thermal and depth pictures for ImageBind, which published none, by name.

    imagebind:FILE?modalities=image,text,thermal&thermal=unibind&radiometric=centikelvin
    imagebind:FILE?modalities=image,text,depth&depth=sunrgbd-disparity&stored=sunrgbd&focal=525

Nothing here needs torch.

thermal
    ``plain`` (default): grey in [0, 1]. ``unibind``: (x - 0.5) / 0.5, as UniBind's code has it.
    A pull request to ImageBind (#73) reports 62.4 % on LLVIP for the former, 55.2 % for the latter.
    ``radiometric`` says how pictures of 16 bits are scaled (``modalities.thermal.SCALINGS``).
depth
    ``standardised`` (default): arrays that hold standardised disparities already. ``sunrgbd-
    disparity``: metres become disparities baseline * focal / depth, between 0.01 and 8 metres,
    which are divided by 75 and standardised with mean 0.0418 and deviation 0.0295.
    ``omnivore-disparity``: the same for what Omnivore's code took for metres: it read the raw
    values of SUN RGB-D, eight times the depth in millimetres, between 0.01 and 50.
    ``baseline`` (metres) and ``focal`` (pixels) are the camera's; by default those of NYU-D's
    Kinect. ``stored`` says how pictures hold millimetres (``modalities.depth.STORED``). None of
    them reproduces ImageBind's figures for depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reactions.core.errors import UsageError, suggestion
from reactions.core.types import Modality
from reactions.modalities.depth import STORED
from reactions.modalities.thermal import SCALINGS

THERMAL = ("plain", "unibind")
DEPTH = ("standardised", "sunrgbd-disparity", "omnivore-disparity")
BASELINE_M, FOCAL_PX = 0.075, 518.857901
OPTIONS: Mapping[str, Modality] = {
    "thermal": "thermal",
    "radiometric": "thermal",
    "depth": "depth",
    "stored": "depth",
    "baseline": "depth",
    "focal": "depth",
}
"""Option to the modality it is about."""


@dataclass(frozen=True, slots=True)
class Variants:
    """How thermal and depth pictures are prepared.

    Attributes:
        thermal: one of ``THERMAL``.
        depth: one of ``DEPTH``.
        baseline_m: of the camera, metres between its two eyes.
        focal_px: of the camera.
        radiometric: one of ``modalities.thermal.SCALINGS``.
        stored: one of ``modalities.depth.STORED``.
    """

    thermal: str = THERMAL[0]
    depth: str = DEPTH[0]
    baseline_m: float = BASELINE_M
    focal_px: float = FOCAL_PX
    radiometric: str = "range"
    stored: str = "millimetres"

    @property
    def thermal_tag(self) -> str:
        """Changes whenever a prepared thermal picture can change."""
        unusual = [
            name
            for name, usual in ((self.thermal, THERMAL[0]), (self.radiometric, "range"))
            if name != usual
        ]
        return "-".join(["grey", *unusual, "bicubic224-centre-2"])

    @property
    def depth_tag(self) -> str:
        """Changes whenever a prepared depth picture can change."""
        if self.depth == DEPTH[0]:
            return "disparity-bicubic224-centre-1"
        camera = f"{self.stored}-baseline{self.baseline_m!r}-focal{self.focal_px!r}"
        return f"{self.depth}-{camera}-bilinear224-centre-1"


USUAL = Variants()


def variants_of(options: Mapping[str, str]) -> Variants:
    """Read the options of a URI.

    Raises:
        UsageError: no variant has this name, a number is none, or a camera is given for
            disparities that are there already.
    """
    thermal = _one_of("thermal", options.get("thermal", THERMAL[0]), THERMAL)
    depth = _one_of("depth", options.get("depth", DEPTH[0]), DEPTH)
    radiometric = _one_of("radiometric", options.get("radiometric", "range"), tuple(SCALINGS))
    stored = _one_of("stored", options.get("stored", "millimetres"), tuple(STORED))
    stereo_options = [name for name in ("baseline", "focal", "stored") if name in options]
    if stereo_options and depth == DEPTH[0]:
        raise UsageError(
            f"{stereo_options[0]}= changes nothing for depth={depth}",
            why="its arrays hold disparities already",
            fix=f"leave {stereo_options[0]} out, or depth={DEPTH[1]}",
        )
    baseline = _positive("baseline", options.get("baseline", str(BASELINE_M)))
    focal = _positive("focal", options.get("focal", str(FOCAL_PX)))
    return Variants(thermal, depth, baseline, focal, radiometric, stored)


def _one_of(option: str, value: str, values: tuple[str, ...]) -> str:
    if value not in values:
        raise UsageError(
            f"no preprocessing {option}='{value}'",
            why=f"there are {', '.join(values)}",
            fix=suggestion(value, values),
        )
    return value


def _positive(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        unit = "metres" if option == "baseline" else "pixels"
        raise UsageError(f"{option}='{text}' is not a number of {unit} above 0")
    return value
