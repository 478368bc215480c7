"""Try a finished wheel where it was not built: in the oldest and the newest other image that its tags claim."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet

from builder import debian, images, importing
from builder.images import Image
from builder.plain import plain
from builder.room import Room
from builder.sandbox import Bind
from schema.errors import BuildFailedError, JobError, NodeError
from schema.portability import LONGEST_WHY, MOST_VERDICTS, Fate, Verdict
from schema.states import FailureClass
from schema.wheels import platform_tag
from schema.wheels.check import WheelFacts

_AT_MOST_S = 300.0
# What no package of the image brings: a library is too old, or the stable ABI was left.
_UNTRUE = re.compile(r"version `[\w.]+' not found|undefined symbol")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """One wheel and where it is tried.

    runtime: the Debian packages that it needs where it is used
    shipped: as in ``importing.check_import``
    """

    room: Room
    wheel: Path
    facts: WheelFacts
    runtime: Sequence[str]
    shipped: Mapping[str, str]

    def tried(self, others: Sequence[Image]) -> tuple[Verdict, ...]:
        """A verdict for each of *others* that is tried, and each that the tags do not claim, the oldest first.

        Raise BuildFailedError (IMPORT) where a manylinux tag claims an image whose linker finds it untrue; whatever
        else is amiss there may be a matter of that image's packages, or of its interpreter: it is told.
        """
        others = sorted(others, key=lambda image: image.platform.distribution.glibc)[:MOST_VERDICTS]
        claimed = [image for image in others if self._claimed(image) or self._compiled_for(image)]
        tried = {image.name for image in (*claimed[:1], *claimed[-1:])}
        verdicts = []
        for image in others:
            if image not in claimed:
                verdicts.append(Verdict(image=image.name, fate=Fate.NOT_CLAIMED))
            elif image.name in tried:
                try:
                    verdicts.append(self._verdict(image))
                except NodeError as err:
                    # Its own image is what the build stands and falls with.
                    self.room.log.step(f"it could not be tried in {image.name}: {err}")
        return tuple(verdicts)

    def _claimed(self, image: Image) -> bool:
        """Whether an installer on that image would take it."""
        wanted = SpecifierSet(self.facts.requires_python or "")
        return not self.facts.tags.isdisjoint(image.platform.tags) and wanted.contains(image.python, prereleases=True)

    def _compiled_for(self, image: Image) -> bool:
        """Whether a manylinux tag says that its compiled files load there."""
        return self._manylinux and not {tag.platform for tag in self.facts.tags}.isdisjoint(
            tag.platform for tag in image.platform.tags if tag.platform != "any"
        )

    @property
    def _manylinux(self) -> bool:
        return any(platform_tag.claimed_glibc(tag.platform) for tag in self.facts.tags)

    def _verdict(self, image: Image) -> Verdict:
        self.room.log.step(f"trying it in {image.name}")
        try:
            bare = debian.with_packages(
                images.bare(image), self.runtime, log=self.room.log, cancelled=self.room.cancelled
            )
            fate, why = self._imported(bare) if self._claimed(image) else self._loaded(bare)
        except JobError as err:
            if err.failure_class is FailureClass.CANCELLED:
                raise
            fate, why = Fate.BROKEN, plain(err.evidence or str(err), limit=LONGEST_WHY)
        if fate is Fate.BROKEN and self._manylinux and _UNTRUE.search(why):
            raise BuildFailedError(
                f"the wheel's tags claim {image.platform.distribution.title}, where it does not load: {why}",
                failure_class=FailureClass.IMPORT,
                evidence=why,
            )
        return Verdict(image=image.name, fate=fate, why=why)

    def _imported(self, bare: Image) -> tuple[Fate, str]:
        said = importing.check_import(self.room, bare, self.wheel, shipped=self.shipped)
        return Fate.IMPORTED, plain(said, limit=LONGEST_WHY)

    def _loaded(self, bare: Image) -> tuple[Fate, str]:
        inside = f"/wheel/{self.wheel.name}"
        folder = self.room.folder.make(f"loads-{bare.name}")
        answer = self.room.run(
            "loads",
            {"wheel": inside, "folder": "/build/env"},
            image=bare,
            binds=[Bind(source=self.wheel, target=inside), Bind(source=folder, target="/build", writable=True)],
            environment={"HOME": "/build"},
            at_most_s=_AT_MOST_S,
        )
        if broken := plain(str(answer.data.get("broken", "")), limit=LONGEST_WHY):
            return Fate.BROKEN, broken
        return Fate.LOADS, f"{bare.platform.python} is not what it is for"
