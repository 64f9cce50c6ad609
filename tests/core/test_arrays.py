import numpy as np
import pytest
import torch

from reactions.core.arrays import as_array


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int64])
def test_tensors_of_every_type_keep_their_values(dtype):
    tensor = (
        torch.tensor([[0.5, -2.0], [3.0, 256.0]]).to(dtype).requires_grad_(dtype.is_floating_point)
    )
    array = as_array(tensor)
    assert isinstance(array, np.ndarray)
    assert array.tolist() == tensor.tolist()


def test_arrays_are_not_copied_and_lists_become_some():
    array = np.eye(2)
    assert as_array(array) is array
    assert as_array([[1, 2]]).shape == (1, 2)
