"""Any kind of site."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from site_configs.local import LocalSite
from site_configs.lsf import LsfSite
from site_configs.slurm import SlurmSite

BatchSite = SlurmSite | LsfSite
"""A site whose nodes a scheduler hands out."""
SiteConfig = Annotated[LocalSite | SlurmSite | LsfSite, Field(discriminator="kind")]
"""Any kind of site, told apart by ``kind``."""

SITE: TypeAdapter[LocalSite | SlurmSite | LsfSite] = TypeAdapter(SiteConfig)
