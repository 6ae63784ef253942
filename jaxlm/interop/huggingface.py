"""Decoders in the Hugging Face layout: config.json and safetensors in one directory."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from jaxlm.errors import InputError
from jaxlm.interop.huggingface_config import decoder_config
from jaxlm.interop.huggingface_names import BUFFERS, decoder_tensors
from jaxlm.interop.layout import fill, mismatches
from jaxlm.interop.safetensors import StoredTensor, read_checkpoint
from jaxlm.layers import Parameter, logical_axes
from jaxlm.models import DecoderConfig, decoder_parameters
from jaxlm.sharding.mesh import named_shardings


def read_huggingface(
    directory: str | Path,
    *,
    param_dtype: Literal["float32", "float64", "bfloat16"] = "float32",
    mesh: Mesh | None = None,
) -> tuple[DecoderConfig, dict[str, Any]]:
    """The configuration and the parameters of a decoder.

    Every tensor is checked before the first one is read, and read piece by piece into its place.

    Args:
      directory: with config.json, and model.safetensors or its shards and their index.
      param_dtype: of the parameters.
      mesh: to divide the parameters over; None for the default device.

    Returns:
      (config, params) for `Decoder(config).apply({"params": params}, tokens)`.

    Raises:
      InputError: if the directory, the configuration or any tensor is not as it must be; every
        tensor that misses, exceeds or differs in shape is listed.
    """
    directory = Path(directory)
    path = directory / "config.json"
    try:
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is no JSON") from None
    config = dataclasses.replace(decoder_config(raw, str(path)), param_dtype=param_dtype)
    found = read_checkpoint(directory)
    tensors = decoder_tensors(config, raw["model_type"])
    prefix = "transformer." if raw["model_type"] == "gpt2" else "model."
    if found and not any(name.startswith(prefix) for name in found):
        found = {  # of the model without its head
            name if name.startswith("lm_head.") else prefix + name: t for name, t in found.items()
        }
    found = {name: t for name, t in found.items() if name in tensors or not name.endswith(BUFFERS)}
    if config.tied_embeddings and "lm_head.weight" in found:
        head = found.pop("lm_head.weight")
        _check_tied(head, found, next(iter(tensors)), directory)
    if problems := mismatches(tensors, found, str(directory)):
        raise InputError(problems)
    parameters = decoder_parameters(config)
    shardings = None if mesh is None else named_shardings(mesh, logical_axes(parameters))
    if problems := _indivisible(parameters, shardings):
        raise InputError(problems)
    return config, fill(parameters, tensors, found, config.param_dtype, shardings)


def _indivisible(parameters: Any, shardings: Any) -> list[str]:
    """The arrays that the mesh cannot divide."""
    problems = []
    if shardings is not None:
        leaves = jax.tree_util.tree_leaves_with_path(shardings)
        declared = jax.tree.leaves(parameters, is_leaf=lambda n: isinstance(n, Parameter))
        for (path, sharding), parameter in zip(leaves, declared, strict=True):
            try:
                sharding.shard_shape(parameter.shape)
            except ValueError:
                name = "/".join(key.key for key in path)
                problems.append(
                    f"mesh: {dict(sharding.mesh.shape)} does not divide {name} "
                    f"{list(parameter.shape)} with axes {', '.join(parameter.axes)}"
                )
    return problems


def _check_tied(
    head: StoredTensor, found: Mapping[str, StoredTensor], table: str, directory: Path
) -> None:
    """A stored copy of the tied table must be one."""
    if table not in found:
        return
    same = head.shape == found[table].shape and all(
        np.array_equal(a, b)
        for (_, a), (_, b) in zip(head.rows(), found[table].rows(), strict=False)
    )
    if not same:
        raise InputError(
            f"{directory}: lm_head.weight differs from {table}, which config.json says it is: "
            'set "tie_word_embeddings" to false'
        )
