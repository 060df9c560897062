"""Finds and ends the processes of a campaign by a mark in their environment."""

from __future__ import annotations


def reap(campaign_id: str) -> list[int]:
    """Kill every process of the campaign on this host but ourselves and our ancestors; return their ids.

    Returns when they are gone, at the latest after 10 s. To be called with the campaign's lock held.
    """
    raise NotImplementedError
