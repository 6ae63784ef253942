"""A trained model from a run directory or a checkpoint in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxlm import platform
from jaxlm.errors import DamageError
from jaxlm.models.decoder import Decoder
from jaxlm.tokenizers.base import Tokenizer, tokenizer_from_files
from jaxlm.training.checkpoint import decode_files, find_checkpoint, load_meta, load_params
from jaxlm.training.config import RunConfig
from jaxlm.training.config_file import from_dict


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A checkpoint, ready to use.

    Attributes:
      checkpoint: where it was read.
      config: of the run that trained it.
      model, params, tokenizer: the decoder, its parameters and its tokenizer.
    """

    checkpoint: Path
    config: RunConfig
    model: Decoder
    params: Any
    tokenizer: Tokenizer


def load_model(path: str | Path) -> LoadedModel:
    """Reads a run directory's newest checkpoint, or the checkpoint itself; no other file.

    Raises:
      InputError: if there is no checkpoint.
      DamageError: if it is damaged.
    """
    checkpoint = find_checkpoint(path)
    meta = load_meta(checkpoint)
    try:
        config, problems = from_dict(meta["config"], RunConfig(), where=f"{checkpoint}/meta")
        files, words = decode_files(meta["tokenizer"]), list(meta["digest"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamageError(f"{checkpoint}: meta is damaged ({error!r})") from error
    if problems:
        raise DamageError("\n".join(problems))
    platform.allow_dtypes(config.model.param_dtype, config.model.compute_dtype)
    model = Decoder(config.model)
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=device),
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"],
    )
    params = load_params(checkpoint, abstract, words)
    tokenizer = tokenizer_from_files(files, where=checkpoint)
    return LoadedModel(checkpoint, config, model, params, tokenizer)
