"""What each view needs of who asks: declared at the view, checked before it is called, and complete or there is no app.

One view answers one method of an address, so what is declared holds for the method, too. The declaration is a mark on
the function: it does nothing by itself, so no order of decorators can take its check away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from flask import Flask

from schema.people import Role, Scope

View = TypeVar("View", bound=Callable[..., Any])

READER: Final = "reader"
METRICS: Final = "metrics"
_BY_SETTING: Final[dict[str, Literal["reader", "metrics"]]] = {READER: "reader", METRICS: "metrics"}
_MARK: Final = "__needs__"
_WITHOUT_VIEW: Final = frozenset({"HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Need:
    """What a view needs.

    role: None: nothing, anybody may; ``reader``: anybody while the pages are public, else a viewer
        ``metrics``: whom ``web.metrics`` lets in without, else a viewer
    scope: what a token must be good for, beside the role of its person
    """

    role: Role | Literal["reader", "metrics"] | None
    scope: Scope = Scope.READ


def needs(role: Role | str | None, *, scope: Scope = Scope.READ) -> Callable[[View], View]:
    """Declare what a view needs: ``None``, ``"reader"``, ``"metrics"``, ``"viewer"``, ``"operator"`` or ``"admin"``."""
    need = Need(None if role is None else _BY_SETTING.get(role) or Role(role), scope)

    def mark(view: View) -> View:
        setattr(view, _MARK, need)
        return view

    return mark


def need_of(view: Callable[..., Any] | None) -> Need | None:
    """What was declared at *view*; None where nothing was."""
    found = getattr(view, _MARK, None)
    return found if isinstance(found, Need) else None


def check(app: Flask) -> None:
    """Raise RuntimeError that names each address of *app* without a declaration, or with one for several methods."""
    if found := list(_faults(app)):
        raise RuntimeError("views without a permission of their own: " + "; ".join(found))


def _faults(app: Flask) -> Iterator[str]:
    for rule in app.url_map.iter_rules():
        if rule.build_only:
            continue
        methods = sorted((rule.methods or set()) - _WITHOUT_VIEW)
        if need_of(app.view_functions.get(rule.endpoint)) is None:
            yield f"{' '.join(methods)} {rule.rule} ({rule.endpoint}): declare it with @needs(…)"
        if len(methods) != 1:
            yield f"{' '.join(methods)} {rule.rule} ({rule.endpoint}): one view for each method"
