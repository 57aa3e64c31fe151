"""The proxy of the QGIS options as environment variables for child processes."""

from __future__ import annotations

from typing import Dict
from urllib.parse import quote

from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkProxy, QNetworkProxyFactory, QNetworkProxyQuery

_TARGET = "https://example.org/"
"""Any public host: what matters is that it is not a local one."""


def proxy_variables() -> Dict[str, str]:
    """Return ``HTTP_PROXY`` and ``HTTPS_PROXY`` as QGIS is set up, nothing without a proxy."""
    proxy = _qgis_proxy()
    address = proxy_url(proxy)
    return {"HTTP_PROXY": address, "HTTPS_PROXY": address} if address else {}


def _qgis_proxy() -> QNetworkProxy:
    network = QgsNetworkAccessManager.instance()
    proxy = network.fallbackProxy()
    if proxy.type() != QNetworkProxy.ProxyType.DefaultProxy:
        return proxy
    found = QNetworkProxyFactory.systemProxyForQuery(QNetworkProxyQuery(QUrl(_TARGET)))
    return found[0] if found else proxy


def proxy_url(proxy: QNetworkProxy) -> str:
    """Return a proxy as a URL, an empty text if there is none."""
    schemes = {
        QNetworkProxy.ProxyType.HttpProxy: "http",
        QNetworkProxy.ProxyType.HttpCachingProxy: "http",
        QNetworkProxy.ProxyType.Socks5Proxy: "socks5h",
    }
    scheme = schemes.get(proxy.type(), "")
    if not scheme or not proxy.hostName():
        return ""
    user, key = (quote(text, safe="") for text in (proxy.user(), proxy.password()))
    account = f"{user}:{key}@" if user else ""
    port = f":{proxy.port()}" if proxy.port() else ""
    return f"{scheme}://{account}{proxy.hostName()}{port}"
