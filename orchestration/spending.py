"""What the ledger counts as spent."""

from pathlib import Path


def spent_usd(ledger: Path | None) -> float:
    """US dollars paid or possibly paid by all requests of a ledger; 0 without one."""
    if ledger is None or not ledger.is_file():
        return 0.0
    from sae.labels.request_ledger import RequestLedger

    opened = RequestLedger(ledger, 0.0)
    try:
        return opened.spent()
    finally:
        opened.close()
