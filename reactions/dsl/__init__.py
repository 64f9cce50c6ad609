"""The reaction language: text to syntax tree to typed reaction, and back to text."""

from reactions.dsl.check import Checked, check
from reactions.dsl.parser import parse, parse_file
from reactions.dsl.program import Program
from reactions.dsl.syntax import Cr, Dr, Expression, Ft, Lcl, Space

__all__ = [
    "Checked",
    "Cr",
    "Dr",
    "Expression",
    "Ft",
    "Lcl",
    "Program",
    "Space",
    "check",
    "parse",
    "parse_file",
]
