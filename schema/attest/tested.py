"""What a node signs of its sandboxes: in each image, the probes that got through and should not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from schema import names
from schema.attest.claims import STATEMENT
from schema.attest.strict_json import Fields
from schema.errors import TrustError
from schema.names import NodeName, Sha256
from schema.platforms import Platform
from schema.printable import one_line

# No statement about a wheel can pass for one of these, nor the other way round.
KIND = "urn:wheelfarm:self-test:v1"
_MOST_IMAGES = 100
_MOST_PROBES = 200
_LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedImage:
    """What came of the probes in the sandbox of one image.

    name: such as ``debian12-aarch64``; digest: of the image
    refused: how many probes were refused, as they all should be; through: those that were not, with what came of each
    """

    name: str
    digest: Sha256
    refused: int
    through: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTested:
    """What a node says of all its images; version: the release of its agent, whose probes they were."""

    node: NodeName
    version: str
    signed_at: datetime
    images: tuple[ProbedImage, ...]

    @classmethod
    def read(cls, statement: Mapping[str, Any]) -> Self:
        """Read a statement whose signature holds; raise TrustError if it is not of this kind."""
        fields = Fields("statement", statement)
        fields.must_be("_type", STATEMENT)
        fields.must_be("predicateType", KIND)
        said = fields.fields("predicate")
        return cls(
            node=said.parsed("node", names.node_name),
            version=said.text("version", limit=255),
            signed_at=said.instant("signedAt"),
            images=tuple(_image(item) for item in _some(said.each("images"), _MOST_IMAGES)),
        )

    def trouble(self, version: str) -> str:
        """Why the node may not build with its agent of that release, and what to do; "" where it may."""
        if self.version != version:
            return f"its sandboxes were tested by another release ({self.version or 'unknown'}): restart its agent"
        for image in self.images:
            if image.through or not image.refused:
                first = one_line(image.through[0], limit=_LONGEST) if image.through else "nothing was tried"
                return f"its sandbox of {image.name} does not hold ({first}): wheelfarm-node self-test there tells all"
        return ""

    def holds(self, name: str) -> bool:
        """Whether the sandbox of the image *name* was tested, and held."""
        return any(image.name == name and image.refused and not image.through for image in self.images)


def statement(*, node: NodeName, version: str, at: datetime, images: Sequence[ProbedImage]) -> dict[str, Any]:
    """What the node signs."""
    return {
        "_type": STATEMENT,
        "subject": [{"name": image.name, "digest": {"sha256": image.digest}} for image in images],
        "predicateType": KIND,
        "predicate": {
            "node": node,
            "version": version,
            "signedAt": at.astimezone(UTC).isoformat(),
            "images": [
                {
                    "name": image.name,
                    "digest": image.digest,
                    "refused": image.refused,
                    "through": [one_line(text, limit=_LONGEST) for text in image.through[:_MOST_PROBES]],
                }
                for image in images
            ],
        },
    }


def _image(said: Fields) -> ProbedImage:
    through = said.items("through")
    if len(through) > _MOST_PROBES or not all(isinstance(item, str) and len(item) <= 2 * _LONGEST for item in through):
        raise TrustError(f"{said.what}.through: not a list of at most {_MOST_PROBES} short texts")
    return ProbedImage(
        name=said.parsed("name", lambda text: Platform.of_image(text).image),
        digest=said.sha256("digest"),
        refused=said.count("refused"),
        through=tuple(through),
    )


def _some(items: Any, most: int) -> list[Fields]:  # noqa: ANN401 - an iterator of fields
    found = list(items)
    if len(found) > most:
        raise TrustError(f"statement: more than {most} images")
    return found
