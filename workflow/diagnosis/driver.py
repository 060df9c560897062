"""Stands where a campaign's driver would, for workers to call."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from site_configs.addresses import own_addresses
from site_configs.config import SiteConfig
from site_configs.local import LocalSite


@dataclass(frozen=True)
class Driver:
    """Where the driver can be called.

    Attributes
    ----------
    addresses, port
        Where it listens.
    secret
        What it says to whoever calls.
    fault
        Why it does not listen where the site says, in one line; empty where it does.
    """

    addresses: tuple[str, ...]
    port: int
    secret: str
    fault: str = ""


@contextmanager
def listening(site: SiteConfig) -> Iterator[Driver]:
    """Answer calls as long as the body runs."""
    fault = ""
    try:
        addresses = {"127.0.0.1"} if isinstance(site, LocalSite) else own_addresses(site.interface)
    except ValueError as error:
        fault, addresses = str(error), own_addresses()
    secret = secrets.token_hex(8)
    with socket.create_server(("", 0)) as server:
        threading.Thread(target=_answer_calls, args=(server, secret), daemon=True).start()
        try:
            yield Driver(tuple(sorted(addresses)), server.getsockname()[1], secret, fault)
        finally:
            server.shutdown(socket.SHUT_RDWR)


def _answer_calls(server: socket.socket, secret: str) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # the end
            return
        with connection:
            connection.settimeout(1.0)
            try:
                connection.sendall(f"{secret}\n".encode())
            except OSError:  # the caller has gone
                continue
