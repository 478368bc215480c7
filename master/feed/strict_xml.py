"""An XML parser for what comes from the upstream: no document types and no entities, which blow up memory (T20)."""

from __future__ import annotations

from xml.parsers import expat


def parser() -> expat.XMLParserType:
    """A new one, fed with bytes; its ``Parse`` raises ExpatError, or ValueError for what is refused."""
    made = expat.ParserCreate()
    made.buffer_text = True
    made.StartDoctypeDeclHandler = _refuse
    made.EntityDeclHandler = _refuse
    return made


def _refuse(*_: object) -> None:
    raise ValueError("it declares a document type or an entity")
