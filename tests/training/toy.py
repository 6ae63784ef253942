"""A small decoder, generated data, and everything to train it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.layers.declare import decayed
from jaxlm.models import Decoder, DecoderConfig, decoder_parameters
from jaxlm.sharding import MeshConfig, make_mesh
from jaxlm.training.config import OptimizerConfig, TrainingConfig
from jaxlm.training.optimizers import make_optimizer, make_schedule
from jaxlm.training.state import plan_state
from jaxlm.training.step import make_train_step, next_token_loss, place_batch

CONFIG = DecoderConfig(
    vocab_size=100, context_length=32, layers=2, width=32, heads=8, kv_heads=4, head_dim=8,
    hidden=64, param_dtype="float32", compute_dtype="float32",
)  # fmt: skip


def batch(step=0, rows=8, t=32, v=100):
    """Text from a formula: the next token follows from the two before it."""
    tokens = np.zeros((rows, t + 1), np.int64)
    for row in range(rows):
        a, b = (7 * row + 13 * step + 1) % v, (5 * row + 3 * step + 2) % v
        for place in range(t + 1):
            tokens[row, place] = a
            a, b = b, (3 * a + 5 * b + 7) % 31
    lengths = t - (np.arange(rows) * 5 + step) % (t // 2)
    mask = np.arange(t) < lengths[:, None]
    return {
        "tokens": tokens[:, :-1].astype(np.int32),
        "targets": tokens[:, 1:].astype(np.int32),
        "positions": np.broadcast_to(np.arange(t, dtype=np.int32), (rows, t)).copy(),
        "segment_ids": mask.astype(np.int32),
        "mask": mask,
    }


class Toy:
    """State, step and mesh of one configuration."""

    def __init__(
        self, config=CONFIG, *, mesh=None, accumulate=1, seed=0, steps=100, loss=None, **optimizer
    ):
        training = TrainingConfig(steps=steps, batch_size=8)
        options = OptimizerConfig(**{"learning_rate": 1e-2, "warmup_steps": 5, **optimizer})
        self.mesh = make_mesh(mesh or MeshConfig())
        self.model = Decoder(config)
        self.parameters = decoder_parameters(config)
        self.schedule = make_schedule(options, training)
        self.optimizer = make_optimizer(options, self.schedule, decayed(self.parameters))
        self.loss = loss or next_token_loss(self.model)
        with jax.set_mesh(self.mesh):
            abstract, make_state = plan_state(
                self.model, self.parameters, self.optimizer, seed=seed, mesh=self.mesh
            )
            self.state = make_state()
        self.shardings = jax.tree.map(lambda a: a.sharding, abstract)
        self.step = make_train_step(
            self.loss, self.optimizer, schedule=self.schedule, accumulate=accumulate,
            shardings=self.shardings,
        )  # fmt: skip

    def run(self, data):
        """One step on a host batch; returns its metrics as floats."""
        with jax.set_mesh(self.mesh):
            self.state, metrics = self.step(self.state, place_batch(data, self.mesh))
        return {name: float(value) for name, value in metrics.items()}

    def gradient(self, data):
        """Mean gradient on the host, and the loss."""
        with jax.set_mesh(self.mesh):
            placed = place_batch(data, self.mesh)
            (total, count), gradient = jax.jit(jax.value_and_grad(self.loss, has_aux=True))(
                self.state.params, placed, None
            )
        return float(total / count), jax.tree.map(lambda g: np.asarray(g / count), gradient)


def float64(config=CONFIG):
    """The configuration in double precision."""
    return dataclasses.replace(config, param_dtype="float64", compute_dtype="float64")


def host(tree):
    """Arrays as NumPy."""
    return jax.tree.map(lambda a: np.asarray(jnp.asarray(a)), tree)
