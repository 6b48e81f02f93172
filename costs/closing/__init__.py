"""Closed months: closing one, and proving later that it is as it was closed. The chain's own rules are `costs.rules.chain`."""

from __future__ import annotations

from costs.closing.close import Closed, close_month
from costs.closing.relations import CloseRefused
from costs.closing.verify import Verification, verify_month

__all__ = ["CloseRefused", "Closed", "Verification", "close_month", "verify_month"]
