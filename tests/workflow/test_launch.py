"""The command line: a plan, one line for every mistake, and the exit status."""

import pytest
import yaml
from synthetic_campaign import make_config, two_rounds

import workflow.campaign
from workflow.driver import Ending
from workflow.execution.pool import PoolBrokenError
from workflow.launch import main
from workflow.launching.plan import make_plan
from workflow.lock import CampaignLock
from workflow.settings.errors import SettingsError
from workflow.settings.load import load_campaign, save_resolved
from workflow.storage.paths import CampaignPaths


@pytest.fixture
def settings_file(tmp_path):
    path = tmp_path / "al.yaml"
    save_resolved(make_config(), path)
    return path


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Call the command in a directory of its own; return status, output, errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        status = main(["--site", "local", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def ending(monkeypatch):
    """Stand in for the campaign itself, which has its own tests; holds what it is to do and what it got."""
    box = {"result": Ending("converged", "half live long"), "calls": []}

    def run_campaign(config, site, directory, display, deadline):
        box["calls"].append((config, site, directory))
        if isinstance(box["result"], BaseException):
            raise box["result"]
        return box["result"]

    monkeypatch.setattr(workflow.campaign, "run_campaign", run_campaign)
    return box


def test_a_dry_run_prints_the_plan_and_touches_nothing(run, settings_file, tmp_path):
    before = set(tmp_path.iterdir())
    status, out, err = run("--campaign", settings_file, "--dry-run")
    assert (status, err) == (0, "")
    assert out.startswith("campaign al-test in campaigns/al-test: new\n")
    assert "200 labels or 9 rounds" in out
    assert "workers: " in out
    assert set(tmp_path.iterdir()) == before


def test_a_run_saves_the_resolved_settings_first(run, settings_file, ending, tmp_path):
    status, out, _ = run("--campaign", settings_file, "--set", "stop.max_rounds=3")
    assert status == 0
    assert "converged: half live long" in out
    ((config, _, directory),) = ending["calls"]
    assert directory == CampaignPaths(directory).directory
    assert config.stop.max_rounds == 3
    assert load_campaign(tmp_path / "campaigns/al-test/campaign.yaml") == config


@pytest.mark.parametrize(
    ("state", "by", "status"),
    [
        ("converged", "", 0),
        ("budget_spent", "", 0),
        ("paused", "SIGTERM", 0),
        ("paused", "SIGINT", 0),
        ("paused", "SIGUSR1", 75),
        ("paused", "SIGUSR2", 75),
        ("paused", "", 1),
        ("failed", "", 1),
    ],
)
def test_the_exit_status_tells_how_it_ended(run, settings_file, ending, state, by, status):
    ending["result"] = Ending(state, "why", by)
    assert run("--campaign", settings_file)[0] == status


def test_a_surprise_is_one_line_and_a_file_with_the_traceback(run, settings_file, ending, tmp_path):
    ending["result"] = ZeroDivisionError("first line\nsecond line")
    status, _, err = run("--campaign", settings_file)
    assert status == 1
    assert err.count("\n") == 1
    assert "ZeroDivisionError: first line second line" in err
    assert "Traceback" in (tmp_path / "campaigns/al-test/logs/error.log").read_text()


def test_broken_executors_give_a_new_driver(run, settings_file, ending, monkeypatch):
    commands = []

    class Replaced(BaseException):
        pass

    def execv(path, command):
        commands.append(command)
        raise Replaced

    monkeypatch.setattr("os.execv", execv)
    ending["result"] = PoolBrokenError("interchange is gone")
    with pytest.raises(Replaced):
        run("--campaign", settings_file, "--set", "site.sampling.workers=2")
    assert commands[-1][2:] == [
        *("workflow.launch", "--site", "local", "--resume", "--directory", "campaigns/al-test"),
        *("--set", "site.sampling.workers=2"),
    ]


# Each mistake: exit status 2 and one line.


def mistake(run, *arguments):
    status, _, err = run(*arguments)
    assert status == 2
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampling.n_slot=3", "sampling.n_slot: unknown setting; did you mean n_slots?"),
        ("sampling.n_slots=many", "found 'many'; expected a valid integer"),
        ("elements=[Al, Sn]", "the label source eam cannot label Sn"),
        ("elements=[Xx]", "elements: Xx is not a chemical symbol"),
        ("builder.density_g_per_cm3=[30, 40]", "builder: Al at 40 g/cm³"),
        ("site.sampling.worker=3", "did you mean workers?"),
        ("site.sampling", "expected site.key=value"),
        ("bootstrap.n_frames=500", "stop.max_labels = 200 is below bootstrap.n_frames = 500"),
    ],
)
def test_bad_settings(run, settings_file, override, message):
    assert message in mistake(run, "--campaign", settings_file, "--dry-run", "--set", override)


def test_missing_files_and_sites(run, settings_file, capsys):
    assert "nowhere.yaml: no such file" in mistake(run, "--campaign", "nowhere.yaml")
    assert "expected --campaign FILE" in mistake(run)
    assert "expected --campaign FILE" in mistake(run, "--directory", "here")
    assert main(["--site", "sierrra", "--campaign", str(settings_file)]) == 2
    assert "unknown site 'sierrra'" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(run, capsys):
    with pytest.raises(SystemExit) as caught:
        run("--campain", "al.yaml")
    assert caught.value.code == 2


def test_a_directory_that_holds_a_campaign_needs_resume(run, settings_file, tmp_path):
    two_rounds(tmp_path / "here")
    err = mistake(run, "--campaign", settings_file, "--directory", "here")
    assert "holds a campaign already; --resume goes on with it" in err


def test_the_directory_of_another_campaign_is_refused(run, settings_file, tmp_path):
    two_rounds(tmp_path / "here", make_config(name="other"))
    err = mistake(run, "--campaign", settings_file, "--directory", "here", "--resume")
    assert "holds campaign 'other', but" in err
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    err = mistake(run, "--campaign", settings_file, "--directory", "photos")
    assert "holds cat.jpg but no campaign" in err
    assert "expected a directory" in mistake(run, "--campaign", settings_file, "--directory", settings_file)


def test_resume_where_nothing_is(run, settings_file):
    assert "nothing to resume here" in mistake(run, "--resume", "--directory", "nowhere")


def test_resume_with_settings_begins_where_nothing_is(run, settings_file, ending):
    status, out, _ = run("--resume", "--campaign", settings_file)
    assert status == 0
    assert "campaigns/al-test: new" in out


def test_resume_reads_the_saved_settings_and_says_what_was_found(run, ending, tmp_path):
    two_rounds(tmp_path / "here")
    status, out, _ = run("--resume", "--directory", "here")
    assert status == 0
    assert "resumed, was running with 60 labels, round 2" in out
    assert ending["calls"][0][0] == make_config()


def test_safe_changes_are_taken_on_resume_and_saved(run, settings_file, ending, tmp_path):
    two_rounds(tmp_path / "here")
    status, out, _ = run("--resume", "--directory", "here", "--set", "stop.max_rounds=20")
    assert status == 0
    assert "changed     stop.max_rounds: 9 became 20" in out
    assert yaml.safe_load((tmp_path / "here/campaign.yaml").read_text())["stop"]["max_rounds"] == 20


@pytest.mark.parametrize(
    "override",
    ["seed=2", "labeller={kind: ase, calculator: ase.calculators.emt.EMT}", "sampling.n_slots=9"],
)
def test_changed_physics_is_refused_on_resume(run, tmp_path, override):
    two_rounds(tmp_path / "here")
    saved = (tmp_path / "here/campaign.yaml").read_bytes()
    status, _, err = run("--resume", "--directory", "here", "--set", override)
    assert status == 2
    assert all("cannot change in a campaign that has begun" in line for line in err.splitlines())
    assert (tmp_path / "here/campaign.yaml").read_bytes() == saved


def test_a_campaign_that_is_running_is_left_alone(tmp_path, monkeypatch):
    two_rounds(tmp_path / "here")
    with CampaignLock(tmp_path / "here"):
        monkeypatch.setattr("os.getpid", lambda: 1)  # we are somebody else
        with pytest.raises(ValueError, match="is running already, as process"):
            make_plan("local", None, tmp_path / "here", [], resume=True)


def test_killed_between_settings_and_ledger_it_begins_again(run, settings_file, ending, tmp_path):
    (tmp_path / "here").mkdir()
    save_resolved(make_config(seed=5), tmp_path / "here/campaign.yaml")
    status, out, _ = run("--campaign", settings_file, "--directory", "here")
    assert status == 0
    assert "new" in out
    assert load_campaign(tmp_path / "here/campaign.yaml").seed == 1


def test_the_plan_itself_writes_nothing(settings_file, tmp_path):
    make_plan("local", settings_file, tmp_path / "here", [], resume=False)
    assert not (tmp_path / "here").exists()
    with pytest.raises(SettingsError):
        make_plan("local", None, None, [], resume=True)
