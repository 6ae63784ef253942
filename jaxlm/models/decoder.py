"""The decoder: one `apply` for training, scoring and generation."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import functional
from jaxlm.errors import InputError
from jaxlm.layers.block import Block, block_parameters
from jaxlm.layers.declare import count, declare, initialize, stack
from jaxlm.layers.embedding import Embedding, embedding_parameters, vocabulary_table
from jaxlm.layers.normalization import Norm, norm_parameters
from jaxlm.models.config import DecoderConfig
from jaxlm.sharding import constrain

Cache = tuple[functional.KVCache, ...]

REMAT_POLICIES = {
    "full": None,  # keep the inputs of each block only
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


class DecoderOutput(NamedTuple):
    """What the decoder returns. Under jit, what is not used is not computed."""

    logits_btv: jax.Array
    """At least float32; minus infinity for the padding of the vocabulary."""
    hidden_btd: jax.Array
    """After the last norm: `functional.unembed` of it by `unembedding(params)` are the logits."""
    cache: Cache | None
    router_logits_lbte: jax.Array | None = None
    """In at least float32, for the router's losses, where there are experts."""


def decoder_parameters(config: DecoderConfig) -> dict[str, Any]:
    """The tree of `Parameter` of a decoder: "embedding", "blocks" (stacked), "final_norm", ..."""
    tree: dict[str, Any] = {
        "embedding": embedding_parameters(
            config.vocab_size,
            config.padded_vocab_size,
            config.width,
            learned_positions=config.context_length if config.positions == "learned" else 0,
        ),
        "blocks": stack(block_parameters(config), config.layers),
    }
    if config.norm_position != "post":
        tree["final_norm"] = norm_parameters(
            config.width, kind=config.norm, bias=config.bias, unit_offset=config.norm_unit_offset
        )
    if not config.tied_embeddings:
        tree["unembedding"] = vocabulary_table(
            config.vocab_size, config.padded_vocab_size, config.width
        )
    return tree


def parameter_count(config: DecoderConfig) -> int:
    """The published number: tied embeddings once, padding of the vocabulary not at all."""
    return count(decoder_parameters(config))


def unembedding(params: Any) -> jax.Array:
    """The output embedding [v, d], tied or not."""
    return params["unembedding"] if "unembedding" in params else params["embedding"]["token"]


def split_layers(blocks: Any, layers: int) -> tuple[Any, ...]:
    """Stacked block parameters as one tree per layer; a tuple is returned as it is."""
    if isinstance(blocks, tuple):
        return blocks
    return tuple(jax.tree.map(lambda a, layer=layer: a[layer], blocks) for layer in range(layers))


def unstack(params: Any, config: DecoderConfig) -> Any:
    """Parameters for decoding: one tree per layer, so that no token copies them out of a stack.

    The decoder takes both forms wherever it does not scan over the layers.
    """
    return {**params, "blocks": split_layers(params["blocks"], config.layers)}


def init_cache(config: DecoderConfig, batch: int, length: int) -> Cache:
    """An empty cache for `batch` rows of up to `length` positions, in the compute dtype."""
    shape = (batch * config.kv_heads, length, config.head_dim)
    dtype = compute_dtype(config)
    return tuple(
        functional.KVCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))
        for _ in range(config.layers)
    )


def check_at_run_time(config: Any) -> None:
    """Raises an `InputError` if the configuration cannot work in this process."""
    problems = config.problems()
    wide = "float64" in (config.param_dtype, config.compute_dtype)
    if wide and jnp.result_type(float) != jnp.float64:
        problems.append("float64 needs jax.config.update('jax_enable_x64', True)")
    if problems:
        raise InputError(problems)


def compute_dtype(config: DecoderConfig) -> jnp.dtype:
    """The dtype of activations: "auto" is float32 on a CPU and bfloat16 elsewhere."""
    if config.compute_dtype == "auto":
        return jnp.dtype("float32" if jax.default_backend() == "cpu" else "bfloat16")
    return jnp.dtype(config.compute_dtype)


class Decoder(nn.Module):
    """A decoder-only transformer (Radford et al. 2019; Touvron et al. 2023).

    Attributes:
      config: the architecture.
      scan_layers: run-time choice over the same parameters: True scans over the layers (quick to
        compile), False unrolls them (a quicker step), None unrolls up to 16 layers on one device.
      remat: what the backward pass recomputes: "none", "dots" (all but matrix products) or
        "full" (everything inside a block).
      expert_capacity: None drops no token; else the capacity factor of the experts in calls
        without a cache, as in `functional.mixture_of_experts`.
    """

    config: DecoderConfig
    scan_layers: bool | None = None
    remat: Literal["none", "dots", "full"] = "none"
    expert_capacity: float | None = None

    @nn.compact
    def __call__(
        self,
        tokens_bt,
        *,
        positions_bt=None,
        segment_ids_bt=None,
        cache: Cache | None = None,
        dropout_key=None,
    ) -> DecoderOutput:
        """Next-token logits for every position.

        Args:
          tokens_bt: int token ids.
          positions_bt: int positions below `context_length`, ascending within a segment and
            consecutive with a cache; by default 0, 1, 2, ...
          segment_ids_bt: int; tokens see only their own segment. Not with a cache.
          cache: from `init_cache`; the new tokens are written at their positions.
          dropout_key: a JAX key in training; None switches dropout off.

        Returns:
          `DecoderOutput(logits_btv, hidden_btd, cache)`.

        Raises:
          InputError: if the configuration cannot work.
          ValueError: if a row is longer than the context or the cache.
        """
        c = self.config
        check_at_run_time(c)
        t = tokens_bt.shape[1]
        limit = c.context_length if cache is None else cache[0].key.shape[1]
        if t > limit:
            what = "context_length" if cache is None else "the cache's length"
            raise ValueError(f"Decoder: {t} tokens in a row exceed {what} {limit}")
        if positions_bt is None:
            positions_bt = jnp.broadcast_to(jnp.arange(t, dtype=jnp.int32), tokens_bt.shape)
        dtype = compute_dtype(c)
        keys = None if dropout_key is None else jax.random.split(dropout_key, c.layers + 1)

        x_btd, table_vd = Embedding(
            vocab_size=c.vocab_size,
            padded_vocab_size=c.padded_vocab_size,
            width=c.width,
            positions=c.positions,
            context_length=c.context_length,
            dtype=dtype,
            param_dtype=c.param_dtype,
            scaled=c.scaled_embeddings,
            name="embedding",
        )(tokens_bt, positions_bt)
        x_btd = functional.dropout(x_btd, c.dropout, None if keys is None else keys[-1])

        blocks: Any
        if self.has_variable("params", "blocks"):
            blocks = self.get_variable("params", "blocks")
        else:
            blocks = self.param("blocks", self._init_blocks)

        def run_block(layer, p, x_btd, layer_cache, key):
            capacity = self.expert_capacity if layer_cache is None else None
            return Block(c, c.is_local(layer), capacity, parent=None).apply(
                {"params": p},
                x_btd,
                positions_bt=positions_bt,
                segment_ids_bt=segment_ids_bt,
                cache=layer_cache,
                dropout_key=key,
            )

        router: Any = []
        if cache is not None:
            # Never scanned: a cache passed through scan is copied whole at every token.
            updated = []
            layers = zip(split_layers(blocks, c.layers), cache, strict=True)
            for layer, (p, layer_cache) in enumerate(layers):
                x_btd, layer_cache, logits = run_block(layer, p, x_btd, layer_cache, None)
                updated.append(layer_cache)
                router.append(logits)
            cache = tuple(updated)
        else:
            x_btd, router = self._run_layers(
                run_block, x_btd, blocks, None if keys is None else keys[:-1]
            )
        router_logits_lbte = jnp.stack(router) if c.experts else None

        if c.norm_position != "post":
            x_btd = Norm(
                c.norm, c.bias, c.norm_epsilon, c.param_dtype, c.norm_unit_offset, name="final_norm"
            )(x_btd)
        output_vd = table_vd
        if not c.tied_embeddings:
            table = vocabulary_table(c.vocab_size, c.padded_vocab_size, c.width)
            output_vd = declare(self, {"unembedding": table}, c.param_dtype)["unembedding"]
            output_vd = constrain(output_vd, ("vocab", "features"))
        logits_btv = functional.unembed(
            x_btd, output_vd, vocab_size=c.vocab_size, softcap=c.logit_softcap
        )
        return DecoderOutput(logits_btv, x_btd, cache, router_logits_lbte)

    def _run_layers(self, run_block, x_btd, blocks, keys):
        """All layers without a cache: ([b, t, d], router logits of each layer or None)."""
        c = self.config

        def run(x_btd, blocks, keys, layers, scanned):
            """Layers with these numbers, one after the other."""
            router = []
            for i, p in enumerate(split_layers(blocks, len(layers))):

                def body(x_btd, p, key, layer=layers[i]):
                    x_btd, _, logits = run_block(layer, p, x_btd, None, key)
                    return x_btd, logits

                if self.remat != "none":
                    policy = REMAT_POLICIES[self.remat]
                    body = jax.checkpoint(body, policy=policy, prevent_cse=not scanned)
                x_btd, logits = body(x_btd, p, None if keys is None else keys[i])
                router.append(logits)
            return x_btd, router

        if not self._scanned():
            return run(x_btd, blocks, keys, range(c.layers), False)

        # Scanned by repeating groups; layers beyond the last whole group follow one by one.
        groups, rest = divmod(c.layers, c.group)
        whole = c.layers - rest

        def group_body(x_btd, group):
            p, keys = group
            return run(x_btd, p, keys, range(c.group), True)

        grouped = jax.tree.map(
            lambda a: a[:whole].reshape(groups, c.group, *a.shape[1:]), (blocks, keys)
        )
        x_btd, router = jax.lax.scan(group_body, x_btd, grouped)
        blocks, keys = jax.tree.map(lambda a: a[whole:], (blocks, keys))
        x_btd, router_rest = run(x_btd, blocks, keys, range(whole, c.layers), False)
        if c.experts:
            in_groups = jnp.stack(router, axis=1)
            router = [*in_groups.reshape(whole, *in_groups.shape[2:]), *router_rest]
        return x_btd, router

    def _init_blocks(self, key):
        c = self.config
        return initialize(stack(block_parameters(c), c.layers), key, c.param_dtype)

    def _scanned(self) -> bool:
        if self.scan_layers is not None:
            return self.scan_layers
        mesh = jax.sharding.get_abstract_mesh()
        return self.config.layers > 16 or not (mesh.empty or mesh.size == 1)
