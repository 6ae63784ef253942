"""A language model on one page: the whole idea, with only jax and optax.

Shows: a Llama-style decoder that reads characters, trains on a text and writes more of it.

    python experiments/minimal.py              # the source of Python's own argparse module
    python experiments/minimal.py FILE         # any text of yours

Array names end in their axes: b batch, t time (queries), s time (keys), d width, n heads,
h head dim, f hidden, v vocabulary, l layers. The library in `jaxlm/` is these functions made
general and fast; its `Decoder` computes the same numbers.

Cost: a minute or two on two CPU cores. Came out: 0.95 nats per character on the last tenth of
argparse.py, and text in the shape of Python.
"""

import argparse
import math
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

LAYERS, WIDTH, HEADS, HIDDEN, CONTEXT = 4, 128, 4, 352, 64
BATCH, STEPS, WARMUP, LEARNING_RATE = 16, 1000, 50, 3e-3


# The model: a function from parameters and tokens to the logits of each next token.


def init(key, vocab_size):
    """Parameters: nested dictionaries; those of the blocks are stacked over layers."""
    keys = iter(jax.random.split(key, 8))

    def normal(shape, deviation):
        return deviation * jax.random.normal(next(keys), shape)

    head_dim, residual = WIDTH // HEADS, (2 * LAYERS) ** -0.5
    return {
        "embedding_vd": normal((vocab_size, WIDTH), 0.02),
        "final_norm_d": jnp.ones(WIDTH),
        "blocks": {
            "attention_norm_d": jnp.ones((LAYERS, WIDTH)),
            "query_dnh": normal((LAYERS, WIDTH, HEADS, head_dim), WIDTH**-0.5),
            "key_dnh": normal((LAYERS, WIDTH, HEADS, head_dim), WIDTH**-0.5),
            "value_dnh": normal((LAYERS, WIDTH, HEADS, head_dim), WIDTH**-0.5),
            "out_nhd": normal((LAYERS, HEADS, head_dim, WIDTH), residual * WIDTH**-0.5),
            "feed_forward_norm_d": jnp.ones((LAYERS, WIDTH)),
            "gate_df": normal((LAYERS, WIDTH, HIDDEN), WIDTH**-0.5),
            "up_df": normal((LAYERS, WIDTH, HIDDEN), WIDTH**-0.5),
            "down_fd": normal((LAYERS, HIDDEN, WIDTH), residual * HIDDEN**-0.5),
        },
    }


def rms_norm(x_btd, scale_d):
    """Every vector to length sqrt(d), times a learned scale."""
    return x_btd * jax.lax.rsqrt(jnp.mean(x_btd**2, axis=-1, keepdims=True) + 1e-5) * scale_d


def rotary(x_btnh):
    """Turns pairs of channels by angles that grow with the position: scores see distances."""
    t, h = x_btnh.shape[1], x_btnh.shape[3]
    frequency = 10_000.0 ** (-jnp.arange(0, h, 2) / h)
    angle_t1f = jnp.arange(t)[:, None, None] * frequency
    cos, sin = jnp.cos(angle_t1f), jnp.sin(angle_t1f)
    a, b = jnp.split(x_btnh, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def attention(p, x_btd):
    """Each token looks back: softmax(q k / sqrt(h)) weighs the values of the tokens before it."""
    q_btnh = rotary(jnp.einsum("btd,dnh->btnh", x_btd, p["query_dnh"]))
    k_bsnh = rotary(jnp.einsum("bsd,dnh->bsnh", x_btd, p["key_dnh"]))
    v_bsnh = jnp.einsum("bsd,dnh->bsnh", x_btd, p["value_dnh"])
    scores_bnts = jnp.einsum("btnh,bsnh->bnts", q_btnh, k_bsnh) / math.sqrt(q_btnh.shape[-1])
    past_ts = jnp.tril(jnp.ones(scores_bnts.shape[-2:], bool))
    weights_bnts = jax.nn.softmax(jnp.where(past_ts, scores_bnts, -jnp.inf), axis=-1)
    return jnp.einsum("bnts,bsnh,nhd->btd", weights_bnts, v_bsnh, p["out_nhd"])


def feed_forward(p, x_btd):
    """SwiGLU: each token by itself."""
    return (jax.nn.silu(x_btd @ p["gate_df"]) * (x_btd @ p["up_df"])) @ p["down_fd"]


def forward(params, tokens_bt):
    """Logits [b, t, v]: what the model expects after each token."""

    def block(x_btd, p):
        x_btd += attention(p, rms_norm(x_btd, p["attention_norm_d"]))
        x_btd += feed_forward(p, rms_norm(x_btd, p["feed_forward_norm_d"]))
        return x_btd, None

    x_btd, _ = jax.lax.scan(block, params["embedding_vd"][tokens_bt], params["blocks"])
    return rms_norm(x_btd, params["final_norm_d"]) @ params["embedding_vd"].T


def loss(params, tokens_bt):
    """Mean negative log-likelihood of each token given those before it, in nats."""
    logits_btv = forward(params, tokens_bt[:, :-1])
    return optax.softmax_cross_entropy_with_integer_labels(logits_btv, tokens_bt[:, 1:]).mean()


# Training: the gradient of the loss moves the parameters, a little, many times.


def make_optimizer(steps):
    """AdamW with warm-up and cosine decay; weight decay on matrices only."""
    schedule = optax.warmup_cosine_decay_schedule(
        LEARNING_RATE / WARMUP, LEARNING_RATE, WARMUP, max(steps, WARMUP + 1), LEARNING_RATE / 10
    )

    def is_matrix(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: "norm" not in str(path), params)

    adamw = optax.adamw(schedule, b2=0.95, weight_decay=0.1, mask=is_matrix)
    return optax.chain(optax.clip_by_global_norm(1.0), adamw)


def make_train_step(optimizer, text_ids, context):
    """A jitted step: draws windows of the text by (seed, step), and updates."""

    @partial(jax.jit, donate_argnums=0)
    def train_step(state, step, seed):
        params, moments = state
        key = jax.random.fold_in(jax.random.key(seed), step)
        starts_b = jax.random.randint(key, (BATCH,), 0, len(text_ids) - context)
        tokens_bt = text_ids[starts_b[:, None] + jnp.arange(context + 1)]
        value, gradient = jax.value_and_grad(loss)(params, tokens_bt)
        updates, moments = optimizer.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments), value

    return train_step


# Sampling: draw the next token, append it, and again.


@partial(jax.jit, static_argnames=("length", "context"))
def sample(params, key, first_id, temperature, *, length, context):
    """`length` tokens after `first_id`, each seeing at most the last `context` ones."""

    def step(carry, key):
        window_t, filled = carry
        logits_v = forward(params, window_t[None])[0, filled - 1]
        token = jax.random.categorical(key, logits_v / temperature)
        # A full window slides; until then the token goes behind the others.
        full = filled == context
        window_t = jnp.where(full, jnp.roll(window_t, -1), window_t)
        filled = jnp.where(full, filled, filled + 1)
        return (window_t.at[filled - 1].set(token), filled), token

    start = jnp.zeros(context, jnp.int32).at[0].set(first_id), jnp.int32(1)
    return jax.lax.scan(step, start, jax.random.split(key, length))[1]


def main():
    """Reads a text, trains on nine tenths of it, and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=Path(argparse.__file__))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        text = options.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{options.file} cannot be read as text: {error}")
    if len(text) < 20 * CONTEXT or options.steps < 1:
        sys.exit(f"needs --steps of at least 1 and {20 * CONTEXT} characters; {len(text)} given")

    characters = sorted(set(text))
    ids = jnp.array([characters.index(c) for c in text])
    train_ids, heldout_ids = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]
    rows = heldout_ids[: len(heldout_ids) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)

    params = init(jax.random.key(options.seed), len(characters))
    optimizer = make_optimizer(options.steps)
    train_step = make_train_step(optimizer, train_ids, CONTEXT)
    state, began = (params, optimizer.init(params)), time.perf_counter()
    print(f"{sum(a.size for a in jax.tree.leaves(params)):,} parameters, {len(text):,} characters")
    for step in range(options.steps):
        state, value = train_step(state, step, options.seed)
        if (step + 1) % 100 == 0 or step + 1 == options.steps:
            print(f"step {step + 1}: loss {value:.3f}, {time.perf_counter() - began:.0f} s")
    print(f"held-out loss {jax.jit(loss)(state[0], rows):.3f} nats per character; a sample:\n")
    newline = characters.index("\n") if "\n" in characters else 0
    key = jax.random.key(options.seed + 1)
    written = sample(state[0], key, newline, 0.8, length=400, context=CONTEXT)
    print("".join(characters[i] for i in written))


if __name__ == "__main__":
    main()
