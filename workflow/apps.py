"""The Parsl apps of a campaign: one thin wrapper for each role around the guard that runs a task."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from parsl import DataFlowKernel, python_app

from site_configs.config import ROLES, Role
from workflow.guard import Call, run_task

App = Callable[[Call], Future[dict[str, Any]]]


def role_apps(kernel: DataFlowKernel) -> dict[Role, App]:
    """Return the app of every role; each runs on the executor with the role's name and on no other."""
    return {
        role: python_app(run_task, data_flow_kernel=kernel, executors=[role], cache=False) for role in ROLES
    }
