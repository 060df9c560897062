"""Killed with SIGKILL in every part, a campaign loses no label and comes to its end."""

import pytest
from kill_campaign import KINDS, kill_campaign


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_lost_when_any_part_is_killed(tmp_path):
    outcome = kill_campaign(tmp_path, kills=len(KINDS), seed=1)
    assert set(outcome.kills) == set(KINDS)
    assert outcome.state == "budget_spent"
    assert not outcome.lost
    assert outcome.seen
    assert not outcome.left
    assert outcome.starts + outcome.breakdowns >= len(KINDS) - 1
