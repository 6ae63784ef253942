"""Settings before JAX starts, each in a fresh process, since they cannot be undone in one."""

import json
import os
import platform as host
import subprocess
import sys
import textwrap

import pytest

linux_glibc = pytest.mark.skipif(
    sys.platform != "linux" or host.libc_ver()[0] != "glibc", reason="needs Linux with glibc"
)
_OWN = ("JAX", "XLA_FLAGS", "LD_PRELOAD", "MALLOC_", "GLIBC_TUNABLES", "TPU_")
_PRELUDE = """
import json
from jaxlm.errors import InputError, JaxlmError
from jaxlm.platform import check_devices, configure, describe_environment, peak_memory_bytes
"""


def run(body, tmp_path, **variables):
    """Runs `body` in a new process; returns what its last printed line says, as JSON."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_OWN)}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), **variables}
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + textwrap.dedent(body)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_cpu_is_presented_as_the_devices_of_the_mesh(tmp_path):
    got = run(
        """
        logged = []
        lines = configure("cpu", devices=4, log=logged.append)
        check_devices("cpu", 4)
        import jax
        problems = []
        for platform, needed in (("cpu", 9), ("gpu", 1)):
            try:
                check_devices(platform, needed)
            except InputError as error:
                problems.append(str(error))
        for arguments in ({"platform": "gpu"}, {"devices": 9}):
            try:
                configure(**arguments)
            except JaxlmError as error:
                problems.append(str(error))
        again = configure("cpu", devices=4)
        environment = describe_environment()
        print(json.dumps([lines == logged, lines, len(jax.devices()), problems, again,
                          environment, peak_memory_bytes()]))
        """,
        tmp_path,
    )
    logged_all, lines, count, problems, again, environment, peak = got
    assert logged_all
    assert count == 4
    assert any("cpu devices: 4" in line for line in lines)
    too_few, no_gpu, *started = problems
    assert "needs 9 devices; JAX found 4" in too_few
    assert "Make the mesh smaller" in too_few
    assert "jaxlm[cuda]" in no_gpu
    assert len(started) == 2
    assert all("started already, with 4 cpu device(s)" in problem for problem in started)
    assert again == ["platform: JAX has started already, its settings are left as they are"]
    assert environment["devices"] == "4 x cpu"
    assert environment["python"] == host.python_version()
    assert {"jaxlm", "jax", "jaxlib", "flax", "optax", "os", "cores"} <= environment.keys()
    assert all(isinstance(value, str) for value in environment.values())
    assert 30 * 2**20 < peak < 8 * 2**30  # Python with JAX; bytes and not kilobytes


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, "XLA_FLAGS"),
        ({"JAX_NUM_CPU_DEVICES": "2"}, "JAX_NUM_CPU_DEVICES"),
    ],
)
def test_the_users_own_device_count_is_kept_and_reported(tmp_path, variables, source):
    lines, count, problem = run(
        """
        lines = configure("cpu", devices=4)
        import jax
        try:
            check_devices("cpu", 4)
        except InputError as error:
            print(json.dumps([lines, len(jax.devices()), str(error)]))
        """,
        tmp_path,
        **variables,
    )
    assert count == 2
    assert any(f"cpu devices: 2 from {source}, too few" in line for line in lines)
    assert source in problem


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_a_platform_that_is_not_there_names_the_way_out(tmp_path, platform):
    problem = run(
        f"""
        configure("{platform}")
        try:
            check_devices("{platform}", 1)
            print(json.dumps(None))
        except InputError as error:
            print(json.dumps(str(error)))
        """,
        tmp_path,
    )
    if problem is None:
        pytest.skip(f"this machine has a {platform}")
    assert problem.startswith(f"platform={platform} ")
    assert "platform=cpu" in problem
    assert {"gpu": "jaxlm[cuda]", "tpu": "jaxlm[tpu]"}[platform] in problem


def test_bad_settings_and_a_contradicting_environment(tmp_path):
    problems = run(
        """
        problems = []
        for arguments in ({"platform": "cuda"}, {"devices": 0}, {"platform": "gpu"}, {}):
            try:
                configure(**arguments)
            except InputError as error:
                problems.append(str(error))
        print(json.dumps(problems))
        """,
        tmp_path,
        JAX_PLATFORMS="cpu",
        JAXLM_ALLOCATOR="jemalloc",
    )
    unknown, devices, contradiction, allocator = problems
    assert "platform=cuda: choose one of auto, cpu, gpu, tpu" in unknown
    assert "devices=0" in devices
    assert "JAX_PLATFORMS=cpu" in contradiction
    assert "JAXLM_ALLOCATOR=jemalloc" in allocator


_COMPILE = """
    import os
    lines = configure("cpu", log=lambda line: None)
    import jax
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.block_until_ready(jax.jit(lambda x: x * 3 + 1)(jax.numpy.arange(5.0)))
    line, = [line for line in lines if line.startswith("compilation cache: ")]
    print(json.dumps([line, jax.config.jax_compilation_cache_dir]))
"""


@pytest.mark.parametrize("own_path", [False, True])
def test_executables_are_kept_by_version_and_kind_of_cpu(tmp_path, own_path):
    base = tmp_path / "elsewhere" if own_path else tmp_path / "jaxlm"
    variables = {"JAXLM_COMPILATION_CACHE": str(base)} if own_path else {}
    line, directory = run(_COMPILE, tmp_path, **variables)
    (made,) = base.iterdir()
    assert directory == str(made)
    assert directory in line
    assert "JAXLM_COMPILATION_CACHE=off" in line
    assert made.name.startswith("xla-")
    assert list(made.glob("jit_*"))


def test_the_cache_can_be_off_elsewhere_or_unwritable(tmp_path):
    line, directory = run(_COMPILE, tmp_path, JAXLM_COMPILATION_CACHE="off")
    assert (line.split(" (")[0], directory) == ("compilation cache: off", None)
    users = str(tmp_path / "users")
    assert run(_COMPILE, tmp_path, JAX_COMPILATION_CACHE_DIR=users)[1] == users
    file = tmp_path / "file"
    file.touch()
    line, directory = run(_COMPILE, tmp_path, XDG_CACHE_HOME=str(file))
    assert "compilation cache: none" in line
    assert str(file) in line
    assert directory is None


_STEPS = """
    import resource, statistics
    lines = configure("cpu", log=lambda line: None)
    import jax, jax.numpy as jnp

    @jax.jit
    def step(weights, x):
        def loss(weights):
            h = x
            for w in weights:
                h = h + jnp.tanh(h @ w)
            return jnp.mean(h**2)
        gradients = jax.grad(loss)(weights)
        return [w - 1e-3 * g for w, g in zip(weights, gradients)]

    weights, x = [jnp.eye(64) * 0.01] * 6, jnp.ones((65536, 64))  # 16 MiB an activation
    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        global weights
        weights = jax.block_until_ready(step(weights, x))
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    for _ in range(4):
        faults()
    print(json.dumps([lines, statistics.median(faults() for _ in range(7))]))
"""


@linux_glibc
def test_freed_memory_is_kept_so_that_a_step_does_not_fault_its_pages_again(tmp_path):
    lines, kept = run(_STEPS, tmp_path)
    assert any("JAXLM_ALLOCATOR=system" in line for line in lines)
    _, by_default = run(_STEPS, tmp_path, JAXLM_ALLOCATOR="system")
    assert kept < 500
    assert by_default > 2000  # else the test shows nothing


@linux_glibc
@pytest.mark.parametrize(
    ("variables", "left_to"),
    [
        ({"LD_PRELOAD": "/nowhere/libtcmalloc_minimal.so.4"}, "libtcmalloc_minimal.so.4"),
        ({"MALLOC_ARENA_MAX": "4"}, "MALLOC_ARENA_MAX"),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=4"}, "GLIBC_TUNABLES"),
    ],
)
def test_another_allocator_or_the_users_settings_are_left_alone(tmp_path, variables, left_to):
    lines = run('print(json.dumps(configure("cpu", log=lambda line: None)))', tmp_path, **variables)
    (line,) = [line for line in lines if line.startswith("allocator: ")]
    assert "left" in line
    assert left_to in line
