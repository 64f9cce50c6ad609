import pytest
import torch

from reactions.ops import precision
from reactions.ops.precision import gemm_dtype


@pytest.mark.parametrize("purpose", ["retrieval", "training"])
def test_exact_is_float32_everywhere(purpose, monkeypatch):
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: True)
    assert gemm_dtype("cpu", purpose, "exact") is None
    assert gemm_dtype("cpu", purpose) is torch.bfloat16


def test_cpus_without_the_instructions_stay_in_float32(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert gemm_dtype("cpu", "training") is None
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert gemm_dtype("cpu", "training") is torch.bfloat16


@pytest.mark.parametrize(
    ("capability", "retrieval", "training"),
    [
        ((6, 1), None, None),
        ((7, 5), torch.float16, None),
        ((8, 0), torch.float16, torch.bfloat16),
        ((9, 0), torch.float16, torch.bfloat16),
    ],
)
def test_cuda_follows_the_tensor_cores(capability, retrieval, training, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert gemm_dtype("cuda:1", "retrieval") is retrieval
    assert gemm_dtype("cuda:1", "training") is training


def test_other_devices_stay_in_float32():
    assert gemm_dtype("meta", "retrieval") is None
