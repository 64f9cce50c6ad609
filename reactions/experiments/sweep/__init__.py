"""Sweeps: a product at many factors and with many choices of experts, at the price of a few."""

from reactions.experiments.sweep.engine import sweep
from reactions.experiments.sweep.grid import Cell, Grid, GridPlan, make_grid, plan_grid
from reactions.experiments.sweep.table import SweepTable

__all__ = ["Cell", "Grid", "GridPlan", "SweepTable", "make_grid", "plan_grid", "sweep"]
