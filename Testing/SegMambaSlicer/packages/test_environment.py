"""What pip inherits: constraints, the system's proxy, no questions; and nothing of it afterwards."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
from SegMambaSlicerLib.packages.environment import pip_environment


class Proxy:
    """As QNetworkProxy is documented."""

    HttpProxy, NoProxy, Socks5Proxy = "HttpProxy", "NoProxy", "Socks5Proxy"

    def __init__(self, kind: str, host: str = "", port: int = 0):
        self.kind, self.host, self.number = kind, host, port

    def type(self) -> str:
        return self.kind

    def hostName(self) -> str:
        return self.host

    def port(self) -> int:
        return self.number


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch):
    """``system(proxies)``: Slicer runs, and the system names these proxies for an address."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)

    def set_proxies(*proxies: Proxy) -> None:
        factory = SimpleNamespace(systemProxyForQuery=lambda query: list(proxies))
        names = {"QNetworkProxy": Proxy, "QNetworkProxyFactory": factory, "QNetworkProxyQuery": str, "QUrl": str}
        monkeypatch.setitem(sys.modules, "qt", SimpleNamespace(**names))
        monkeypatch.setitem(sys.modules, "slicer", SimpleNamespace())

    return set_proxies


def test_everything_is_as_before_afterwards_even_after_an_error(system, monkeypatch):
    system(Proxy(Proxy.HttpProxy, "proxy.hospital", 8080))
    monkeypatch.setenv("PIP_NO_INPUT", "0")
    before = dict(os.environ)
    with pytest.raises(RuntimeError), pip_environment([]) as file:
        assert os.environ["PIP_NO_INPUT"] == "1"
        raise RuntimeError
    assert dict(os.environ) == before
    assert not file.exists()


def test_the_systems_proxy_is_passed_on(system):
    system(Proxy(Proxy.HttpProxy, "proxy.hospital", 8080), Proxy(Proxy.NoProxy))
    with pip_environment([]):
        assert os.environ["HTTPS_PROXY"] == os.environ["HTTP_PROXY"] == "http://proxy.hospital:8080"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_the_user_has_named_is_left_alone(system, monkeypatch, variable):
    system(Proxy(Proxy.HttpProxy, "proxy.hospital", 8080))
    monkeypatch.setenv(variable, "http://mine:1")
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    with pip_environment([]):
        assert os.environ[variable] == "http://mine:1"
        assert "HTTP_PROXY" not in os.environ


@pytest.mark.parametrize("proxy", [Proxy(Proxy.NoProxy), Proxy(Proxy.Socks5Proxy, "socks", 1), Proxy(Proxy.HttpProxy)])
def test_without_a_proxy_for_pip_nothing_is_set(system, proxy):
    system(proxy)
    with pip_environment([]):
        assert "HTTPS_PROXY" not in os.environ


def test_a_slicer_without_qts_network_classes_does_without(system, monkeypatch):
    system()
    monkeypatch.setitem(sys.modules, "qt", SimpleNamespace())
    with pip_environment([]) as file:
        assert file.read_text().count("==") > 5


def test_constraints_are_an_address_because_pip_splits_at_spaces(tmp_path, monkeypatch):
    folder = tmp_path / "John Doe"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("PIP_CONSTRAINT", "theirs.txt")
    with pip_environment([]) as file:
        theirs, ours = os.environ["PIP_CONSTRAINT"].split()
        assert theirs == "theirs.txt"
        assert Path(unquote(urlsplit(ours).path)) == file and "John Doe" in str(file)
