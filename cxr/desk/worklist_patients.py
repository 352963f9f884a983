"""Patients and studies under pseudonyms: films of one patient are known to belong together, and nobody is named.

A label is the beginning of an HMAC (RFC 2104) of the Patient ID (0010,0020), or of the Study Instance UID (0020,000D),
under a key of this database. Who knows a Patient ID finds its films by it, because it leads to the same label; nobody
who sees labels, in a list, an exported table or an address, gets from them to a Patient ID. The film's own bytes still
hold the header as it came, and the key stands in the database: this is against looks, not against thieves.
"""

import hmac
from base64 import b32encode
from functools import cached_property

from sqlalchemy import Engine, select

from cxr.desk.tables import reading
from cxr.desk.worklist_tables import PseudonymKey
from cxr.films.film import Identity

LETTERS = 10  # 50 bits: among 100,000 patients two share a label once in 200,000 databases


class Pseudonyms:
    """Safe to share among threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def patient(self, patient_id: str | None) -> str:
        """`P-` and ten letters; empty without a Patient ID."""
        return self._label("P", patient_id)

    def study(self, identity: Identity) -> str:
        """`S-` and ten letters; empty where the file names no study."""
        return self._label("S", identity.study_instance_uid)

    def _label(self, kind: str, text: str | None) -> str:
        known = (text or "").strip().strip("\0")
        if not known:
            return ""
        digest = hmac.digest(self._key, f"{kind} {known}".encode(), "sha256")
        return f"{kind}-{b32encode(digest).decode()[:LETTERS]}"

    @cached_property
    def _key(self) -> bytes:
        with reading(self._engine) as session:
            return bytes.fromhex(session.scalars(select(PseudonymKey.key)).one())
