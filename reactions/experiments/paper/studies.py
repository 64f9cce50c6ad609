"""Tables 5 to 9 of the paper: studies of reactions, routes, modules and projectors."""

from __future__ import annotations

from reactions.experiments.paper.spaces import (
    CR,
    DISPLACED_ALONE,
    DR,
    PARALLEL,
    PP,
    REMAPPED,
    SUBSETS,
    TUNED_BOTH,
    VERSATILE,
    VERSATILE_BOTH,
    VERSATILE_PP,
    sequence,
)
from reactions.experiments.paper.table import (
    RETRIEVAL,
    Column,
    PaperTable,
    SpaceRow,
    read_figures,
    recalls,
)
from reactions.products.tree import Adjustment

_OURS, OTHER_READING = "As we read it", "Another reading"
_REMAPPED_ALONE = Adjustment(sigma={"": REMAPPED})

REACTIONS = PaperTable(
    5,
    "displacement and combination",
    recalls(*RETRIEVAL),
    (
        SpaceRow("ImageBind", _OURS, "ImageBind"),
        SpaceRow(
            "+Cr(InternVL)",
            _OURS,
            CR,
            _REMAPPED_ALONE,
            remark="the caption's (0.9, 0.9) is read as the displacement's lambda; combination "
            "remaps InternVL, which then gets (0.1, 0.1), as footnote 2 of table 6 says: its "
            "audio-text is ImageBind's to 0.01",
        ),
        SpaceRow("+Dr(InternVL)", _OURS, DR, DISPLACED_ALONE),
        SpaceRow(
            "+Cr(InternVL) at 0.9",
            OTHER_READING,
            CR,
            Adjustment(sigma={"": (0.9, 0.9)}),
            paper_name="+Cr(InternVL)",
            remark="the caption to the letter: sigma (0.9, 0.9) for combination, too",
        ),
    ),
    read_figures("""
        ImageBind     |  9.24 6.64 14.82 7.68 57.28 86.04
        +Cr(InternVL) |  9.25 6.64 16.14 8.08 58.90 87.93
        +Dr(InternVL) | 11.17 6.60 13.77 7.37 61.49 89.61
    """),
)

ROUTES = PaperTable(
    6,
    "routes of complex reactions",
    recalls(*RETRIEVAL),
    (
        SpaceRow(
            "Only Seq.",
            _OURS,
            sequence(*VERSATILE[""]),
            remark="three displacements; lambda 0.9 of InternVL and, as the versatile setting's "
            "share of the CLAPs, (0.5, 0.1) of each CLAP for (audio, text)",
        ),
        SpaceRow(
            "Only Para.",
            _OURS,
            PARALLEL,
            Adjustment(sigma={"InternVL": REMAPPED, "CLAP_m": (0.5, 0.1), "CLAP_g": (0.5, 0.1)}),
            remark="all three experts on ImageBind at once, by equation 10: in text they share "
            "0.1, InternVL has 0.1 of images, and the CLAPs share 0.5 of audio",
        ),
        SpaceRow(
            "Seq.&Para.",
            _OURS,
            TUNED_BOTH,
            VERSATILE_BOTH,
            remark="InternVL_IB†++ Ver., whose figures in table 4 are the same",
        ),
        SpaceRow(
            "Only Seq. (base's share)",
            OTHER_READING,
            sequence(0.5, 0.9),
            paper_name="Only Seq.",
            remark="the versatile setting as the share of the side that is remapped (footnote 2): "
            "the CLAPs' lambda is (0.5, 0.9)",
        ),
        SpaceRow(
            "Only Seq. (lambda 0.9)",
            OTHER_READING,
            sequence(0.9, 0.9),
            paper_name="Only Seq.",
            remark="the displacement's 0.9 for every expert",
        ),
    ),
    read_figures("""
        Only Seq.  | 36.03 16.62  9.24 4.89 33.77 66.55
        Only Para. | 29.14 13.48 16.06 8.20 58.83 87.35
        Seq.&Para. | 29.42 13.48 15.48 8.32 61.13 89.33
    """),
)

_MODULES = "ImageBind++ Ver., by experts"

MODULES = PaperTable(
    7,
    "coarse-grained module selection",
    (
        Column("esc50", "accuracy", "accuracy"),
        Column("audioset", "mAP", "mAP"),
        *recalls("audiocaps", "clotho"),
    ),
    (
        SpaceRow("ImageBind", _MODULES, "ImageBind"),
        *(
            SpaceRow(
                f"+Cr({expert})",
                _MODULES,
                PP,
                Adjustment(sigma=VERSATILE, experts=frozenset({expert})),
                remark="selected from the product with both (--experts)",
            )
            for expert in ("CLAP_g", "CLAP_m")
        ),
        SpaceRow("+Cr(CLAP_g)+Cr(CLAP_m)", _MODULES, PP, VERSATILE_PP),
    ),
    read_figures("""
        ImageBind              | 67.25 13.96  9.24  6.64
        +Cr(CLAP_g)            | 86.65 19.09 28.63 13.24
        +Cr(CLAP_m)            | 88.40 18.89 27.33 12.70
        +Cr(CLAP_g)+Cr(CLAP_m) | 88.55 19.69 29.16 13.67
    """),
)

_PAPERS_SUBSETS = ("A", "V", "T", "AT", "VA", "VT", "VAT")

MIXTURE = PaperTable(
    8,
    "mixture of projectors",
    recalls(*RETRIEVAL),
    (
        *(
            SpaceRow(f"ψ_{name}", DR, f"{DR[:-1]}, data={subset})", DISPLACED_ALONE)
            for name, subset in zip(_PAPERS_SUBSETS, SUBSETS, strict=True)
        ),
        SpaceRow("Ψ", DR, DR, DISPLACED_ALONE),
    ),
    read_figures("""
        ψ_A   |  9.59 5.79 12.61 6.39 61.44 89.10
        ψ_V   |  9.79 5.53 10.83 5.97 61.30 89.32
        ψ_T   | 10.07 5.57 10.08 6.17 61.47 89.24
        ψ_AT  |  9.96 5.86 12.60 6.68 61.45 89.26
        ψ_VA  |  9.77 5.91 12.93 6.74 61.44 89.33
        ψ_VT  |  9.91 5.46 11.12 6.43 61.49 89.24
        ψ_VAT | 10.23 5.98 12.70 6.78 61.42 89.30
        Ψ     | 11.17 6.60 13.77 7.37 61.49 89.61
    """),
)

_RECIPES = {"C-MCR": ", recipe=cmcr", "Ex-MCR": ", recipe=exmcr", "Ours": ""}

RECIPES = PaperTable(
    9,
    "projector design",
    recalls(*RETRIEVAL),
    tuple(
        SpaceRow(
            f"{kind} {name}",
            f"{title} Reaction",
            f"{reaction[:-1]}{option})",
            adjustment,
        )
        for kind, title, reaction, adjustment in (
            ("Cr", "Combination", CR, _REMAPPED_ALONE),
            ("Dr", "Displacement", DR, DISPLACED_ALONE),
        )
        for name, option in _RECIPES.items()
    ),
    read_figures("""
        Cr C-MCR  |  9.26 6.64 15.99 8.12 58.62 87.77
        Cr Ex-MCR |  9.25 6.64 15.60 7.65 58.47 87.11
        Cr Ours   |  9.25 6.64 16.14 8.08 58.90 87.93
        Dr C-MCR  | 10.43 5.55 11.60 6.32 61.28 89.13
        Dr Ex-MCR |  8.97 5.27  8.78 5.09 61.26 89.48
        Dr Ours   | 11.17 6.60 13.77 7.37 61.49 89.61
    """),
)
