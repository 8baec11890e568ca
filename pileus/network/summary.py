"""The totals of a run as JSON values: ``summary.json`` and ``--json``."""

from __future__ import annotations

from typing import Any

from pileus.network.run import Network
from pileus.network.totals import ParaTotals

__all__ = ["summary_of"]


def summary_of(network: Network) -> dict[str, Any]:
    """The totals of a run as JSON values."""
    totals = network.totals
    return {
        "seed": network.seed,
        "relay_state": network.relay_state,
        "relay_chain": {
            "blocks": totals.relay_blocks,
            "best": {"number": network.chain.best.number, "hash": _hex(network.chain.best.hash)},
            "finalized": network.chain.finalized.number,
            "validators": len(network.chain.validators),
        },
        "candidates": {
            "total": totals.candidates,
            "valid_for_every_backer": totals.valid,
            "backed": totals.backed,
        },
        "parachains": [
            {
                "id": para.para_id,
                "name": para.name,
                "runtime": para.spec.code_source,
                "code_hash": _hex(para.node.runtime_at(para.node.best_hash).code_hash),
                "version": {"spec_name": version.spec_name, "spec_version": version.spec_version},
                "candidates": own.candidates,
                "included": own.included,
                "best": {"number": para.node.best_header.number, "hash": _hex(para.node.best_hash)},
                "pov_bytes": {"total": own.pov_bytes, "largest": own.largest_pov},
            }
            for para in network.parachains
            for own in (totals.paras.get(para.para_id, ParaTotals()),)
            for version in (para.node.version_at(para.node.best_hash),)
        ],
        "upgrades": [
            {
                "parachain": upgrade.section.parachain,
                "at": upgrade.section.at,
                "runtime": upgrade.section.runtime,
                "code_hash": _hex(upgrade.code_hash),
                "code_bytes": len(upgrade.code),
                "spec_version": upgrade.version.spec_version,
                "brought": upgrade.brought,
                "announced": upgrade.announced,
                "accepted": upgrade.accepted,
                "go_ahead": upgrade.go_ahead,
                "applied": upgrade.applied,
                "refused": upgrade.refused,
                "aborted": upgrade.aborted,
            }
            for upgrade in network.upgrades
        ],
        "messages": [
            {
                "from": source,
                "to": dest,
                "sent": route.sent,
                "proven": route.proven,
                "delivered": route.delivered,
                "failed": route.failed,
                "settled": route.settled,
                "mean_latency_relay_blocks": route.latency,
            }
            for source, dest, route in network.ledger.routes()
        ],
        "problems": totals.problems,
    }


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"
