"""The environment that processes of pip inherit while something is installed: constraints, proxies, no questions."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from SegMambaSlicerLib.packages.requirements import constraints

logger = logging.getLogger(__name__)

_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
# Compiling them takes a compiler and long; a wheel or nothing.
_WHEELS_ONLY = "numba,llvmlite,safetensors,torch"


@contextmanager
def pip_environment(requirements: list[str]) -> Iterator[Path]:
    """Within it, every pip keeps what is installed as it is, uses the system's proxy and asks nothing.

    pip's own settings (its file of settings, PIP_INDEX_URL, HTTPS_PROXY and the like) stay in force.

    Args:
        requirements: what is going to be installed.

    Yields:
        the constraints file, which exists only within.
    """
    with tempfile.TemporaryDirectory(prefix="segmamba-pip-") as folder:
        file = Path(folder) / "constraints.txt"
        file.write_text(constraints(requirements), encoding="utf-8")
        # Through the environment too, because the PyTorch extension calls pip itself. As an address, because pip splits
        # the variable at spaces, and names of users have some.
        kept = " ".join(filter(None, (os.environ.get("PIP_CONSTRAINT"), file.as_uri())))
        changes = {"PIP_CONSTRAINT": kept, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        changes["PIP_ONLY_BINARY"] = ",".join(filter(None, (os.environ.get("PIP_ONLY_BINARY"), _WHEELS_ONLY)))
        changes.update(_proxies())
        before = {name: os.environ.get(name) for name in changes}
        os.environ.update(changes)
        try:
            yield file
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _proxies() -> dict[str, str]:
    """The proxy that Slicer itself uses, for pip; empty if the user has named one, or there is none.

    Slicer takes the system's settings, which may be a script that computes the proxy; pip reads no such script.
    """
    if any(os.environ.get(name) for name in _PROXY_VARIABLES) or "slicer" not in sys.modules:
        return {}
    try:
        import qt

        query = qt.QNetworkProxyQuery(qt.QUrl("https://pypi.org/simple/"))
        proxies = list(qt.QNetworkProxyFactory.systemProxyForQuery(query))
        proxy = next((p for p in proxies if p.type() == qt.QNetworkProxy.HttpProxy and p.hostName()), None)
    except Exception:  # no Qt network classes here: pip still finds a fixed proxy by itself
        logger.debug("the system's proxy cannot be asked for", exc_info=True)
        return {}
    if proxy is None:
        return {}
    address = f"http://{proxy.hostName()}:{proxy.port()}"
    logger.info("pip uses the system's proxy %s", address)
    return {"HTTP_PROXY": address, "HTTPS_PROXY": address}
