"""The vaults of the strongroom's tests, and the places of the services' tests, attacked."""

from __future__ import annotations

from tests.services.conftest import installation, place
from tests.strongroom.conftest import opened, template, vault

__all__ = ["installation", "opened", "place", "template", "vault"]
