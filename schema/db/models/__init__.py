"""The tables. Rules that must always hold stand in the database, not only in code."""

from schema.db.models.base import Base, Instant
from schema.db.models.builds import Attempt, Build, BuildCount, BuildMaterial, RuleCount, WhatWorked
from schema.db.models.downloads import Download
from schema.db.models.failures import Cure, Failure, FailureCluster, HourCount, UnsortedFailure
from schema.db.models.farm import Alarm, AuditEntry, HostKey, Leadership, Mark, Node, Total
from schema.db.models.people import ApiToken, LoginFailure, LoginSession, Order, PinnedRecipe, User
from schema.db.models.upstream import Demand, Project, Request, UpstreamFile
from schema.db.models.webhooks import Delivery, Webhook
from schema.db.models.wheels import Canary, DirtyPage, Repeat, Wheel, WheelAnatomy

__all__ = [
    "Alarm",
    "ApiToken",
    "Attempt",
    "AuditEntry",
    "Base",
    "Build",
    "BuildCount",
    "BuildMaterial",
    "Canary",
    "Cure",
    "Delivery",
    "Demand",
    "DirtyPage",
    "Download",
    "Failure",
    "FailureCluster",
    "HostKey",
    "HourCount",
    "Instant",
    "Leadership",
    "LoginFailure",
    "LoginSession",
    "Mark",
    "Node",
    "Order",
    "PinnedRecipe",
    "Project",
    "Repeat",
    "Request",
    "RuleCount",
    "Total",
    "UnsortedFailure",
    "UpstreamFile",
    "User",
    "Webhook",
    "WhatWorked",
    "Wheel",
    "WheelAnatomy",
]
