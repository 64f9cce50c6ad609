"""All tables of the paper, by the names that the command line gives them."""

from __future__ import annotations

from collections.abc import Mapping

from reactions.experiments.paper.results import CLASSIFICATION_TABLE, RETRIEVAL_TABLE
from reactions.experiments.paper.studies import MIXTURE, MODULES, REACTIONS, RECIPES, ROUTES
from reactions.experiments.paper.table import PaperTable

TABLES: Mapping[str, PaperTable] = {
    table.name: table
    for table in (
        CLASSIFICATION_TABLE,
        RETRIEVAL_TABLE,
        REACTIONS,
        ROUTES,
        MODULES,
        MIXTURE,
        RECIPES,
    )
}
"""Source: Molecule-Space, tables 3 to 9."""
