"""What the documents name is there: commands with their options, settings, and YAML that is valid."""

import importlib
import json
import re
from pathlib import Path

import pytest
import yaml

from site_configs.load import SITE, load_site
from workflow.settings.config import CampaignConfig

ROOT = Path(__file__).parents[1]
DOCUMENTS = {path.name: path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
GUIDE = DOCUMENTS["guide.md"]
FILES = {"csv", "html", "json", "jsonl", "py", "safetensors", "x", "yaml"}
"""Endings of names with a dot that are no settings."""

SCHEMAS = [CampaignConfig.model_json_schema(), SITE.json_schema()]


def commands():
    """Return the options with which each command is named, by its module."""
    found = {}
    for text in DOCUMENTS.values():
        for module, rest in re.findall(r"python -m ([\w.]+)([^`#\n]*)", text):
            found.setdefault(module, set()).update(re.findall(r"--[a-z][a-z-]*", rest))
    return found


@pytest.mark.parametrize(("module", "options"), sorted(commands().items()))
def test_commands_exist_and_have_the_options_they_are_named_with(module, options, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [module, "--help"])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(module).main()
    assert stop.value.code == 0
    assert options <= set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))


def knows(schema, node, keys):
    """Whether settings of this schema have such a key below the node; it may have one of several kinds."""
    node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    if not keys:
        return True
    below = node.get("properties", {}).get(keys[0])
    kinds = [kind for word in ("anyOf", "oneOf", "allOf") for kind in node.get(word, [])]
    return (below is not None and knows(schema, below, keys[1:])) or any(
        knows(schema, kind, keys) for kind in kinds
    )


def exists(name):
    keys = name.removeprefix("site.").split(".")
    return any(knows(schema, schema, keys) for schema in SCHEMAS)


def dotted_settings():
    found = set()
    for text in DOCUMENTS.values():
        found |= set(re.findall(r"--set ([a-z_]+(?:\.[a-z_]+)+)=", text))
        found |= set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", text))
    return sorted(
        name for name in found if name.rpartition(".")[2] not in FILES and not name.endswith(".key")
    )


@pytest.mark.parametrize("name", dotted_settings())
def test_settings_named_with_their_stage_exist(name):
    assert exists(name)


def test_the_table_of_stages_names_settings_that_exist():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", GUIDE, re.MULTILINE)
    stages = {stage: text for stage, text in rows if stage in CampaignConfig.model_fields}
    names = [f"{stage}.{name}" for stage in stages for name in re.findall(r"`(\w+_\w+)`", stages[stage])]
    assert len(stages) >= 7
    assert len(names) >= 12
    assert [n for n in names if not exists(n) and not exists(n.replace(".", ".schedule."))] == []


BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)]
CAMPAIGN = next(block for block in BLOCKS if "name" in block)
LABELLERS = {}
for block in BLOCKS:
    LABELLERS.setdefault(block.get("labeller", {}).get("kind"), block.get("labeller"))
"""The first block of every kind is whole; later ones change it."""


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: "-".join(block))
def test_yaml_in_the_guide_is_valid(block, tmp_path):
    site = next(block for block in BLOCKS if block.get("kind") == "slurm")
    if not set(block) <= set(CampaignConfig.model_fields) or "nodes" in block.get("labelling", {}):
        (tmp_path / "site.yaml").write_text(yaml.safe_dump({**site, **block}))
        load_site(tmp_path / "site.yaml")
        return
    labeller = block.get("labeller", LABELLERS["espresso"])
    whole = {**CAMPAIGN, **block, "labeller": {**LABELLERS[labeller["kind"]], **labeller}}
    CampaignConfig.model_validate_json(json.dumps(whole), strict=True)
