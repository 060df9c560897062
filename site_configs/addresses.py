"""By which addresses the nodes of a job can reach this host."""

from __future__ import annotations

import ipaddress
import socket

import psutil


def own_addresses(interface: str | None = None) -> set[str]:
    """Return the IPv4 addresses of this host's interfaces that are up, or of one interface.

    Nobody outside is asked, as Parsl does. The loopback address is left out unless there is no other: on
    another node it would mean that node.

    Raises
    ------
    ValueError
        If ``interface`` is not there, or has no address.
    """
    states = psutil.net_if_stats()
    found = {
        name: {address.address for address in addresses if address.family == socket.AF_INET}
        for name, addresses in psutil.net_if_addrs().items()
        if name in states and states[name].isup
    }
    if interface is not None:
        if not found.get(interface):
            raise ValueError(
                f"interface: {interface} has no address here; expected one of {', '.join(found)}"
            )
        return found[interface]
    everything = set().union(*found.values())
    outside = {address for address in everything if not ipaddress.ip_address(address).is_loopback}
    return outside or everything or {"127.0.0.1"}
