"""Configurations that no model can have, and what a configuration derives."""

import dataclasses

import pytest

from jaxlm.functional import RotaryScaling
from jaxlm.models import DecoderConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 0}, "--model.heads 0: must be at least 1"),
        ({"feed_forward": "swish"}, "--model.feed-forward swish: must be one of relu, relu2"),
        ({"norm_position": "both"}, "--model.norm-position both: must be one of pre, post"),
        ({"window": 0}, "--model.window 0: must be positive"),
        ({"window": 8, "positions": "none"}, "--model.window 8: needs positions"),
        ({"window_pattern": "LX"}, "--model.window-pattern 'LX'"),
        ({"window_pattern": ""}, "--model.window-pattern ''"),
        ({"rotary_local_theta": 1e4}, "--model.rotary-local-theta 10000.0: is that of layers with"),
        ({"rotary_scaling": "linear", "positions": "alibi"}, "needs --model.positions rotary"),
        ({"rotary_scaling": "linear", "rotary_factor": 0.5}, "--model.rotary-factor 0.5"),
        ({"rotary_scaling": "yarn", "rotary_low_rotations": 9.0}, "--model.rotary-low-rotations 9"),
        ({"attention_softcap": 0.0}, "--model.attention-softcap 0.0: must be positive"),
        ({"logit_softcap": float("nan")}, "--model.logit-softcap nan: must be positive"),
        ({"norm": "layer", "norm_unit_offset": True}, "--model.norm-unit-offset: needs"),
        ({"parallel": True, "norm_position": "post"}, "--model.parallel: needs"),
        ({"experts": -1}, "--model.experts -1: must not be negative"),
        ({"experts": 2, "expert_choices": 3}, "--model.expert-choices 3: must be from 1 to"),
        ({"experts": 2, "bias": True}, "--model.bias: experts have no biases"),
    ],
)
def test_problems(fields, message):
    (problem,) = DecoderConfig(**fields).problems()
    assert problem.startswith(message) or message in problem


def test_defaults_have_no_problems():
    assert DecoderConfig().problems() == []
    assert DecoderConfig(window=8, window_pattern="LLG", rotary_local_theta=1e4).problems() == []


def test_every_problem_is_found_at_once():
    config = DecoderConfig(heads=3, kv_heads=2, window=-1, experts=-2, attention_scale=-1.0)
    assert len(config.problems()) == 4


@pytest.mark.parametrize(
    ("layers", "window", "pattern", "local", "group"),
    [
        (4, None, "L", "GGGG", 1),
        (4, 8, "L", "LLLL", 1),
        (4, 8, "G", "GGGG", 1),
        (5, 8, "LG", "LGLGL", 2),
        (7, 8, "LLLLLG", "LLLLLGL", 6),
        (4, 8, "LLLLLG", "LLLL", 1),
        (3, 8, "GGL", "GGL", 3),
    ],
)
def test_local_layers_and_their_groups(layers, window, pattern, local, group):
    config = DecoderConfig(layers=layers, window=window, window_pattern=pattern)
    assert "".join("L" if config.is_local(i) else "G" for i in range(layers)) == local
    assert config.group == group


def test_rotary_of_local_and_global_layers():
    plain = DecoderConfig(rotary_theta=5e5)
    assert plain.rotary(True) == plain.rotary(False) == (5e5, None)
    assert DecoderConfig(positions="alibi").rotary(False) == (None, None)
    gemma = DecoderConfig(
        context_length=4096, window=8, rotary_theta=1e6, rotary_local_theta=1e4,
        rotary_scaling="linear", rotary_factor=8.0,
    )  # fmt: skip
    assert gemma.rotary(True) == (1e4, None)
    assert gemma.rotary(False) == (1e6, RotaryScaling("linear", 8.0, 512))
    one = dataclasses.replace(gemma, rotary_local_theta=None)
    assert one.rotary(True) == one.rotary(False) == gemma.rotary(False)
