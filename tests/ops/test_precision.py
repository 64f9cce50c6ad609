import pytest
import torch

from reactions.ops import precision, retrieval
from reactions.ops.precision import full_float32, gemm_dtype


@pytest.mark.parametrize("purpose", ["retrieval", "training"])
def test_exact_is_float32_everywhere(purpose, monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: True)
    assert gemm_dtype("cpu", purpose, "exact") is None
    assert gemm_dtype("cpu", purpose) is torch.bfloat16


def test_cpus_without_the_instructions_stay_in_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert gemm_dtype("cpu", "training") is None
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert gemm_dtype("cpu", "training") is torch.bfloat16


def test_a_process_kept_to_avx2_stays_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert gemm_dtype("cpu", "retrieval") is None


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


def test_why_an_earlier_torch_retrieves_in_float32_is_reported_once(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(precision, "WRITES_FP32", False)
    precision._report_fp32.cache_clear()
    with caplog.at_level("INFO", logger="reactions.kernels"):
        assert gemm_dtype("cuda:0", "retrieval") is None
        assert gemm_dtype("cuda:0", "retrieval") is None
        assert gemm_dtype("cuda:0", "training") is torch.bfloat16
    (message,) = caplog.messages
    assert "as 2.8 has: retrieval on CUDA is in fp32" in message


def test_other_devices_stay_in_float32():
    assert gemm_dtype("meta", "retrieval") is None


def products_in_full() -> bool:
    """Tell by the product itself whether float32 keeps its 24 bits."""
    x = torch.full((64, 64), 1 + 2.0**-20)
    return bool(((x @ torch.eye(64)) == x).all())


@pytest.mark.parametrize("precision", ["medium", "high", "highest"])
def test_a_process_that_asked_for_less_gets_it_back(precision):
    torch.set_float32_matmul_precision(precision)
    try:
        with full_float32():
            assert not torch.backends.cuda.matmul.allow_tf32
            assert products_in_full()
            assert not torch.backends.cudnn.allow_tf32  # on by default
        assert torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == precision
        assert torch.backends.cuda.matmul.allow_tf32 == (precision != "highest")
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_last_of_several_workers_turns_it_back():
    torch.set_float32_matmul_precision("medium")
    first, second = full_float32(), full_float32()
    try:
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "highest"
        second.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_exact_retrieval_keeps_its_bits_whatever_the_process_asked_for(monkeypatch):
    precisions = []
    unit = retrieval.unit
    monkeypatch.setattr(
        retrieval,
        "unit",
        lambda rows: precisions.append(torch.get_float32_matmul_precision()) or unit(rows),
    )
    torch.set_float32_matmul_precision("medium")
    try:
        rows = torch.eye(4)
        retrieval.soft_retrieve(rows, rows, [rows], temperature=0.1, precision="exact")
    finally:
        torch.set_float32_matmul_precision("highest")
    assert set(precisions) == {"highest"}


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch before 2.9"
)
def test_the_switch_of_one_backend_is_put_back_too():
    matmul = torch.backends.cuda.matmul
    torch.set_float32_matmul_precision("highest")
    matmul.fp32_precision = "tf32"
    try:
        with full_float32():
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch before 2.9")
def test_the_switch_of_convolutions_alone_is_put_back_too():
    cudnn = torch.backends.cudnn
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = "tf32", "ieee"
    try:
        with pytest.raises(RuntimeError):
            _ = cudnn.allow_tf32  # torch refuses to say, where they differ
        with full_float32():
            assert cudnn.conv.fp32_precision == "ieee"
        assert cudnn.conv.fp32_precision == "tf32"
    finally:
        cudnn.rnn.fp32_precision = "tf32"
        cudnn.allow_tf32 = True
