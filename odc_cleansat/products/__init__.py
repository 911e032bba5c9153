"""Mask products on disk or in a store.

A job makes and writes the mask of one scene. A product is found, read and verified. People accept or
reject masks by verdicts, which are kept beside them.
"""

from __future__ import annotations

from .identity import mask_id
from .job import MaskJob
from .product import MaskProduct
from .provenance import Provenance
from .verdict_files import Verdict, accept, flag, reject, verdict, verdicts, withdraw
from .verification import Check, Verification, verify
from .write import write_mask

__all__ = [
    "Check",
    "MaskJob",
    "MaskProduct",
    "Provenance",
    "Verdict",
    "Verification",
    "accept",
    "flag",
    "mask_id",
    "reject",
    "verdict",
    "verdicts",
    "verify",
    "withdraw",
    "write_mask",
]
