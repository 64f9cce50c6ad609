"""Triton's kernels without a GPU: in its interpreter, and compiled ahead of time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

ROOT = Path(__file__).parents[3]


def python(*arguments, **variables):
    """Run Python in a process of its own: Triton reads its variables when it is imported."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )


def test_they_give_what_the_eager_code_gives():
    cases = str(Path(__file__).with_name("interpreted.py"))
    run = python("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", cases, TRITON_INTERPRET="1")
    assert run.returncode == 0, run.stdout[-3000:]
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout


COMPILES = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import triton
from reactions.ops.kernels import fused

strides = ("stride", "logits_stride", "weights_stride")
whole = dict.fromkeys(("n", "m", "rows", "first", *strides), "i32")
tile = {"tall": fused.ROWS, "wide": fused.COLUMNS}
kinds = [
    (
        fused.weigh,
        {"logits": "*fp32", "weights": "*fp16", "totals": "*fp32"},
        {"wide": fused.BLOCK},
    ),
    (
        fused.exponentiate,
        {"weights": "*bf16", "matched": "*fp32", "row_sums": "*fp32", "column_sums": "*fp32"},
        tile,
    ),
    (
        fused.differentiate,
        dict.fromkeys(("weights", "per_row", "per_column", "match"), "*bf16"),
        tile,
    ),
]
for kernel, pointers, constants in kinds:
    names = [name for name in kernel.arg_names if name not in constants]
    types = {name: pointers.get(name) or whole[name] for name in names}
    for capability in (80, 90):
        target = GPUTarget("cuda", capability, 32)
        made = triton.compile(ASTSource(kernel, types, constants), target=target)
        assert len(made.asm["cubin"]) > 1000
        print(kernel.__name__, capability)
"""


def test_kernels_compile_for_two_generations_of_gpus(tmp_path):
    """Ahead of time, with the assembler that Triton brings: no GPU is asked."""
    run = python("-c", COMPILES, TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")
    assert run.returncode == 0, run.stderr[-2000:]
    assert len(run.stdout.splitlines()) == 6
