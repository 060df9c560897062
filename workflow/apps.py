"""The Parsl app of a campaign: a thin wrapper around the guard that runs a task, for each role."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from parsl import DataFlowKernel, python_app

from site_configs.config import SiteConfig
from site_configs.roles import ROLES, Role
from workflow.execution.guard import Call, run_task

App = Callable[[Call], Future[dict[str, Any]]]


PRIORITY: dict[Role, int] = {"training": 0, "labelling": 1, "sampling": 2}
"""Who goes first where roles share workers: a training makes all later sampling better, a label all later
training, and sampling fills what is left."""


def role_apps(kernel: DataFlowKernel, site: SiteConfig) -> dict[Role, App]:
    """Return the app of every role; each runs on the role's executor and on no other."""
    return {role: _app(kernel, site.executor(role), PRIORITY[role]) for role in ROLES}


def _app(kernel: DataFlowKernel, executor: str, priority: int) -> App:
    app = python_app(run_prioritised, data_flow_kernel=kernel, executors=[executor], cache=False)
    return partial(app, parsl_resource_specification={"priority": priority})


def run_prioritised(call: Call, parsl_resource_specification: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Run a call; Parsl hands its resource specification, where the priority is, to the function as well."""
    return run_task(call)
