"""What a user sees: plain blocks away from a terminal, a live table on one."""

import io
import os

import pytest
from rich.console import Console
from synthetic_campaign import make_config, two_rounds

from workflow.display import LiveDisplay, PlainDisplay, complain, make_display, say
from workflow.ledger import read_ledger
from workflow.reporting.texts import duration_text, errors_text, survival_text
from workflow.state import CampaignState


def play(display, directory):
    state = CampaignState()
    for event in read_ledger(directory):
        state.apply(event)
        display.update(state)


def test_a_log_has_one_block_per_round_without_colour(tmp_path):
    two_rounds(tmp_path)
    log = io.StringIO()
    play(PlainDisplay(make_config(), log), tmp_path)
    text = log.getvalue()
    assert text.count("round ") == 2
    assert "\x1b" not in text
    assert text.splitlines()[0].startswith("round 1 · 40 labels · ")
    assert "3 trajectories ended   3 candidates" in text
    assert "0 reached 250 ps" in text
    assert "40 labelled   2 failed" in text
    assert "8 of 8 members   energy 4.00 meV/atom, force 100.0 meV/Å   promoted" in text


def test_a_worse_ensemble_is_said_not_to_be_promoted(tmp_path):
    campaign = two_rounds(tmp_path)
    campaign.train(3, energy=9.0, force=0.2, promoted=False)
    log = io.StringIO()
    play(PlainDisplay(make_config(), log), tmp_path)
    assert "not promoted" in log.getvalue().splitlines()[-1]


def test_notes_are_lines_with_the_time(tmp_path):
    log = io.StringIO()
    PlainDisplay(make_config(), log).note("labelling is paused")
    assert log.getvalue()[8:] == "  labelling is paused\n"


def test_away_from_a_terminal_the_display_is_plain():
    assert isinstance(make_display(make_config(), io.StringIO()), PlainDisplay)


def test_a_terminal_gets_a_table_with_bars_and_is_left_clean(tmp_path):
    campaign = two_rounds(tmp_path)
    campaign.record("paused", stage="labelling", reason="10 of 20 failed", remedy="Look.")
    screen = io.StringIO()
    display = LiveDisplay(make_config(), Console(file=screen, force_terminal=True, width=120))
    play(display, tmp_path)
    display.note("a [note] with brackets")
    display.close()
    text = screen.getvalue()
    assert "a [note] with brackets" in text
    assert "goal: median survival" in text
    assert "al-test" in text
    assert text.count("round 2 ·") == 1
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_a_campaign_goes_on_when_nobody_reads_its_log_any_more(tmp_path):
    read, write = os.pipe()
    with os.fdopen(write, "w") as log:
        two_rounds(tmp_path)
        display = PlainDisplay(make_config(), log)
        os.close(read)
        play(display, tmp_path)
        display.note("still here")
        display.close()


def test_a_campaign_goes_on_when_its_terminal_is_gone(tmp_path):
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        two_rounds(tmp_path)
        display = LiveDisplay(make_config(), Console(file=terminal, force_terminal=True))
        os.close(ours)
        play(display, tmp_path)
        display.note("still here")
        display.close()


def test_errors_go_to_standard_error_one_line_each(capsys):
    complain("first\nsecond")
    say("all well")
    captured = capsys.readouterr()
    assert captured.err == "error: first\nerror: second\n"
    assert captured.out == "all well\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (75, "1 min 15 s"), (3 * 3600 + 12 * 60, "3 h 12 min"), (59.7, "1 min 0 s")],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_what_is_not_known_is_said():
    assert survival_text(None, False) == "no trajectories under this ensemble yet"
    assert survival_text(12.5, True) == "more than 12.5 ps"
    assert survival_text(1e-9, False) == "below 0.001 ps"
    assert survival_text(1e-9, True) == "more than 0 ps"
    assert errors_text(None, None) == "errors not measured"
