"""Settings that must be made before JAX starts, and what this machine is. Entry points only.

`configure` comes before the first use of JAX, `check_devices` right after it. Each setting is
reported as one line that names its opt-out; nothing here changes a number that a model computes.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import platform as host
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import jax

from jaxlm.errors import InputError, JaxlmError

Platform = Literal["auto", "cpu", "gpu", "tpu"]

_JAX_NAMES = {"cpu": "cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}  # the first is the default device
_FORCED_DEVICES = re.compile(r"--xla_force_host_platform_device_count=(\d+)")
_PACKAGES = ("jaxlm", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")

# mallopt's parameters, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def configure(
    platform: Platform = "auto", *, devices: int = 1, log: Callable[[str], object] = print
) -> list[str]:
    """Chooses the platform, the CPU's device count, the allocator and the compilation cache.

    Args:
      platform: "auto" leaves the choice to JAX (and to JAX_PLATFORMS).
      devices: how many devices the mesh needs. A CPU is presented as that many; on accelerators
        it is what `check_devices` checks.
      log: gets each line that is also returned.

    Returns:
      One line for each setting made or left alone, with its opt-out.

    Raises:
      InputError: an unknown platform, fewer than one device, or a platform that contradicts
        JAX_PLATFORMS.
      JaxlmError: JAX has started already, with another platform or fewer devices.
    """
    if platform not in get_args(Platform):
        raise InputError(f"platform={platform}: choose one of {', '.join(get_args(Platform))}.")
    if devices < 1:
        raise InputError(f"devices={devices}: a mesh needs at least one device.")
    if _has_started():
        lines = _keep_started(platform, devices)
    else:
        lines = [
            *_choose_platform(platform),
            *_set_device_count(platform, devices),
            *_set_allocator(platform),
            *_set_compilation_cache(),
        ]
    for line in lines:
        log(line)
    return lines


def allow_dtypes(*dtypes: str) -> None:
    """Lets JAX have float64 arrays if one of the names is "float64"; it makes float32 otherwise."""
    if "float64" in dtypes:
        jax.config.update("jax_enable_x64", True)


def check_devices(platform: Platform = "auto", needed: int = 1) -> None:
    """Starts JAX and checks that it has the platform and the devices that were asked for.

    Args:
      platform: as given to `configure`.
      needed: the number of devices in the mesh.

    Raises:
      InputError: the platform is not there, or has fewer devices; names the way out.
    """
    way_out = {
        "gpu": "Install the GPU build (pip install 'jaxlm[cuda]') on a machine with an NVIDIA "
        "driver, or choose platform=cpu.",
        "tpu": "On a TPU VM install the TPU build (pip install 'jaxlm[tpu]'); one process at a "
        "time can hold the TPU. Or choose platform=cpu.",
    }.get(platform, "Unset JAX_PLATFORMS, or choose platform=cpu.")
    try:
        found = jax.devices()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"platform={platform} does not start: {reason}. {way_out}") from error
    if platform != "auto" and found[0].platform != platform:
        raise InputError(
            f"platform={platform} is not there; JAX found {len(found)} {found[0].platform} "
            f"device(s). {way_out}"
        )
    if len(found) < needed:
        way_out = "Make the mesh smaller."
        if found[0].platform == "cpu":
            way_out = (
                f"Make the mesh smaller, or have the CPU presented as {needed} devices: unset "
                "JAX_NUM_CPU_DEVICES and --xla_force_host_platform_device_count in XLA_FLAGS."
            )
        raise InputError(
            f"the mesh needs {needed} devices; JAX found {len(found)} "
            f"({found[0].device_kind}). {way_out}"
        )


def describe_environment() -> dict[str, str]:
    """Versions, machine and devices for the report of a run. Starts JAX."""
    devices = jax.devices()
    kinds = [device.device_kind for device in devices]
    described = {name: _version(name) for name in _PACKAGES} | {
        "python": host.python_version(),
        "os": host.platform(),
        "cpu": _cpu_info("model name") or host.processor() or host.machine(),
        "cores": _cores(),
        "memory": _memory(),
        "platform": devices[0].platform,
        "devices": ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds)),
        "processes": str(jax.process_count()),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }
    return {name: value for name, value in described.items() if value}


def peak_memory_bytes() -> int | None:
    """The largest resident memory of this process so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _keep_started(platform: str, devices: int) -> list[str]:
    found = jax.devices()
    if platform not in ("auto", found[0].platform) or len(found) < devices:
        raise JaxlmError(
            f"JAX has started already, with {len(found)} {found[0].platform} device(s), and can no "
            f"longer have platform={platform} with {devices}: call jaxlm.platform.configure() "
            "before the first array is made, or begin a new process."
        )
    return ["platform: JAX has started already, its settings are left as they are"]


def _choose_platform(platform: str) -> list[str]:
    if platform == "auto":
        return []
    user = os.environ.get("JAX_PLATFORMS", "")
    wanted = _JAX_NAMES[platform]
    if user:
        if user.split(",")[0] not in (wanted.split(",")[0], platform):
            raise InputError(
                f"platform={platform} contradicts JAX_PLATFORMS={user} in the environment: unset "
                "JAX_PLATFORMS, or choose platform=auto."
            )
        return []
    jax.config.update("jax_platforms", wanted)
    return [f"platform: {platform} (platform=auto leaves the choice to JAX)"]


def _option(name: str) -> Any:
    return getattr(jax.config, name)  # declared at run time, so that type checkers do not know it


def _has_started() -> bool:
    """Whether JAX has a backend: the one public sign is that this option can no longer change."""
    current = _option("jax_num_cpu_devices")
    try:
        jax.config.update("jax_num_cpu_devices", max(current, 0) + 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", current)
    return False


def _set_device_count(platform: str, devices: int) -> list[str]:
    if devices == 1 or platform not in ("cpu", "auto"):
        return []
    forced = _FORCED_DEVICES.findall(os.environ.get("XLA_FLAGS", ""))
    if forced:  # the last one counts; setting JAX's own option beside it would override it
        source, count = "XLA_FLAGS", int(forced[-1])
    elif "JAX_NUM_CPU_DEVICES" in os.environ:
        source, count = "JAX_NUM_CPU_DEVICES", _option("jax_num_cpu_devices")
    else:
        jax.config.update("jax_num_cpu_devices", devices)
        return [f"cpu devices: {devices} (set JAX_NUM_CPU_DEVICES for another number)"]
    problem = f", too few for the {devices} of the mesh" if count < devices else ""
    return [f"cpu devices: {count} from {source}{problem} (unset it for {devices})"]


def _set_allocator(platform: str) -> list[str]:
    """Keeps freed memory in the process.

    XLA allocates the temporaries of a step anew at each call; by default glibc maps them from
    the kernel each time, and every page faults again: up to a third of the time of a small step.
    The price is memory: what lies in pieces is not given back (the peak doubles or more).
    """
    setting = os.environ.get("JAXLM_ALLOCATOR", "")
    if setting not in ("", "system"):
        raise InputError(f"JAXLM_ALLOCATOR={setting}: the one value is 'system'.")
    if setting == "system":
        return ["allocator: the system's settings (unset JAXLM_ALLOCATOR for faster steps)"]
    if not _on_cpu(platform) or host.libc_ver()[0] != "glibc" or sys.platform != "linux":
        return []
    preloaded = re.search(r"[\w.-]*(malloc|hoard)[\w.-]*", os.environ.get("LD_PRELOAD", ""))
    if preloaded:
        return [f"allocator: left to {preloaded[0]} (unset LD_PRELOAD for glibc's)"]
    if _glibc_settings():
        return [f"allocator: left as set by {_glibc_settings()} (unset it for faster steps)"]
    mallopt = ctypes.CDLL(None).mallopt
    wanted = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1}  # -1: never trim
    if not all(mallopt(parameter, value) for parameter, value in wanted.items()):
        return ["allocator: glibc refused the settings; steps may be slower"]
    return [
        "allocator: glibc keeps freed memory, for speed (JAXLM_ALLOCATOR=system needs less memory)"
    ]


def _glibc_settings() -> str | None:
    """The variable by which the user has set glibc's malloc, if any."""
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return "GLIBC_TUNABLES"
    names = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_")
    return next((name for name in names if name in os.environ), None)


def _on_cpu(platform: str) -> bool:
    """Whether JAX will compute on the CPU; guessed from what is installed, since it must not start.

    A wrong guess costs speed or some memory, nothing else.
    """
    if platform != "auto":
        return platform == "cpu"
    first = os.environ.get("JAX_PLATFORMS", "").split(",")[0]
    if first:
        return first == "cpu"
    return not any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))


def _set_compilation_cache() -> list[str]:
    opt_out = "JAXLM_COMPILATION_CACHE=off turns it off, a path moves it"
    setting = os.environ.get("JAXLM_COMPILATION_CACHE", "")
    if setting == "off":
        return ["compilation cache: off (unset JAXLM_COMPILATION_CACHE for faster starts)"]
    users = _option("jax_compilation_cache_dir")
    if users and not setting:
        return [f"compilation cache: {users} (from JAX_COMPILATION_CACHE_DIR)"]
    # An executable compiled for another CPU model may crash, so each kind has its own directory.
    features = (_cpu_info("flags") or _cpu_info("Features") or "") + host.machine()
    fingerprint = hashlib.sha256(features.encode()).hexdigest()[:12]
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        base = Path(setting).expanduser().absolute() if setting else caches / "jaxlm"
        directory = base / f"xla-{jax.__version__}-{fingerprint}"
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
        return [f"compilation cache: none, {error} ({opt_out})"]
    jax.config.update("jax_compilation_cache_dir", str(directory))
    return [f"compilation cache: {directory} ({opt_out})"]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cpu_info(field: str) -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    match = re.search(rf"^{field}\s*: (.*)$", text, re.MULTILINE)
    return match[1] if match else None


def _cores() -> str:
    total = os.cpu_count() or 0
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    return str(total) if usable == total else f"{usable} of {total}"


def _memory() -> str:
    """Physical memory, or the container's limit where that is smaller."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return ""
    with contextlib.suppress(OSError, ValueError):  # "max" is no limit
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return f"{total / 2**30:.1f} GiB"
