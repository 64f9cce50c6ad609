"""The laion_clap package without its network: the reference of the CLAP tests.

Importing the package asks a hub for three tokenizers, and so does its data module. Here its
modules are loaded one by one, with the tokenizers taken out.
"""

import importlib
import importlib.util
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest


def modules():
    """Return (clap_module.model, clap_module.htsat, training.data) of laion_clap."""
    spec = importlib.util.find_spec("laion_clap")  # finds without importing
    if spec is None:
        pytest.skip("laion_clap is not installed")
    for package in ("transformers", "torchlibrosa", "torchvision", "torchaudio"):
        pytest.importorskip(package, exc_type=(ImportError, RuntimeError))
    import transformers

    folder = Path(next(iter(spec.submodule_search_locations)))
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of its old imports
        for name in ("Bert", "Roberta", "Bart"):
            cls = getattr(transformers, f"{name}Tokenizer")
            stack.enter_context(patch.object(cls, "from_pretrained", lambda *_, **__: None))
        sys.path.append(str(folder))  # its modules import each other as top-level packages
        stack.callback(sys.path.remove, str(folder))
        names = ("clap_module.model", "clap_module.htsat", "training.data")
        return tuple(importlib.import_module(name) for name in names)
