"""The log is verified while others write to it."""

from __future__ import annotations

import threading

from mcp_server.bootstrap import build
from mcp_server.config import load_settings
from tests.strongroom.vault import Vault

CHAINS = 25


def test_chains_that_are_opened_while_the_log_is_verified_are_no_finding(vault: Vault):
    settings = load_settings(vault.home)
    refused: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(CHAINS):
                app = build(settings)
                app.identity.prove(vault.secret)
                app.close()
        except BaseException as error:  # noqa: BLE001  # told below
            refused.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    verified = 0
    while writer.is_alive():
        assert vault.app.audit.verify().findings == ()
        verified += 1
    assert refused == []
    assert verified > 1
