"""Thermal images: stored and decoded like any image, told apart by what a corpus says."""

from __future__ import annotations

from dataclasses import replace

from reactions.modalities.image import IMAGE

THERMAL = replace(
    IMAGE, name="thermal", letter="", aliases=(), suffixes=(), undecoded=(), check_version=1
)
