"""Eight virtual CPU devices, set before JAX starts."""

# ruff: noqa: E402
import os
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
flags = os.environ.get("XLA_FLAGS", "")
if "xla_force_host_platform_device_count" not in flags:
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8".strip()

# Programs that several tests or processes compile are compiled once.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"jaxlm-tests-{os.getuid()}")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import jax
import pytest

SHARED = Path(__file__).parent.parent.parent / "shared"
# Many small programs that run once: there XLA's optimisations cost more than they save.
COMPILED_QUICKLY = {"functional", "layers", "models", "equivalence"}


@pytest.fixture(scope="session")
def shared():
    """The folder of reference data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference data in {SHARED}, which are not here")
    return SHARED


@pytest.fixture(autouse=True)
def _compile_quickly(request):
    if request.path.parent.name not in COMPILED_QUICKLY:
        yield
        return
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
