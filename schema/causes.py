"""How the recorded reason of a build begins, where builds are told apart by it: the master writes it, all read it."""

from __future__ import annotations

from typing import Final

# Builds that are withdrawn with this come back by themselves when the upstream has the release again.
TAKEN_BACK: Final = "upstream took it back: "

# A person took its wheel off the index.
REMOVED: Final = "removed: "

# A stored file of its wheel was damaged; also the tombstone of a wheel that may come back under its own name.
DAMAGED: Final = "a stored file of it was damaged: "

# The requests that wanted it were taken back.
UNASKED: Final = "nobody asks for it any more: "

# Its recipe cannot be read.
FAULTY_RECIPE: Final = "its recipe is faulty: "

# A rule says not to build it; the rule and its reason follow.
RULED_OUT: Final = "a rule keeps it from being built: "

# It failed, and a rule has another version built; that version, the rule and its reason follow, then the failure.
INSTEAD: Final = "built instead: "

# An attempt failed; the class of the failure follows.
AGAIN_AFTER: Final = "again after "
