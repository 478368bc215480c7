from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, parse_tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from master.plan import Built, Decision, Verdict, choose, is_pinned, judge, serves
from schema.names import Sha256
from schema.platforms import Platform
from schema.simple.read import File
from schema.states import BuildPolicy

BOOKWORM = Platform.parse("debian12-x86_64-cp311")
BULLSEYE = Platform.parse("debian11-x86_64-cp39")
TRIXIE = Platform.parse("debian13-x86_64-cp313")
ARM = Platform.parse("debian12-aarch64-cp311")
DIGEST = Sha256("0" * 64)


def sdist(version: str, **fields: Any) -> File:
    return File(
        **{"filename": f"demo-{version}.tar.gz", "kind": "sdist", "version": Version(version), "url": "", **fields}
        | {"sha256": fields.get("sha256", DIGEST)}
    )


def wheel(version: str, tag: str = "py3-none-any", **fields: Any) -> File:
    filename = f"demo-{version}-{tag}.whl"
    return File(
        **{"filename": filename, "kind": "wheel", "version": Version(version), "url": "", **fields}
        | {"sha256": fields.get("sha256", DIGEST)}
    )


def built(version: str, tag: str, *, view: str | None = None) -> Built:
    return Built(filename=f"demo-{version}-{tag}.whl", version=Version(version), tags=tags(tag), view=view)


def tags(text: str) -> frozenset[Tag]:
    return frozenset(parse_tag(text))


def decided(*files: File, specifier: str = "", policy: str = "missing", **more: Any) -> Decision:
    platform = more.pop("platform", BOOKWORM)
    choice = choose(files, specifier=SpecifierSet(specifier), platform=platform)
    return judge(choice, platform=platform, policy=BuildPolicy(policy), **{"built": (), **more})


def test_a_source_distribution_alone_is_built() -> None:
    decision = decided(sdist("1.0"), sdist("2.0"))

    assert (decision.verdict, str(decision.version)) == (Verdict.BUILD, "2.0")
    assert decision.sdist == sdist("2.0")
    assert decision.reason == "upstream has no wheel of 2.0 for debian12-x86_64-cp311"


def test_upstreams_usable_wheel_makes_a_build_unneeded() -> None:
    files = [sdist("1.0"), wheel("1.0", "cp311-cp311-manylinux_2_28_x86_64"), wheel("1.0", "cp38-abi3-linux_x86_64")]

    decision = decided(*files)

    assert decision.verdict is Verdict.UNNEEDED
    assert decision.reason == "upstream has demo-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"


@pytest.mark.parametrize(
    "tag",
    [
        "cp312-cp312-manylinux_2_28_x86_64",
        "cp311-cp311-manylinux_2_28_aarch64",
        "cp311-cp311-manylinux_2_39_x86_64",
        "cp311-cp311-musllinux_1_2_x86_64",
        "cp311-cp311t-manylinux_2_28_x86_64",
        "cp312-abi3-manylinux_2_28_x86_64",
        "cp311-cp311-win_amd64",
        "py2-none-any",
    ],
)
def test_a_wheel_for_others_does_not(tag: str) -> None:
    assert decided(sdist("1.0"), wheel("1.0", tag)).verdict is Verdict.BUILD


def test_who_wants_it_always_gets_it_from_source() -> None:
    decision = decided(sdist("1.0"), wheel("1.0"), policy="always")

    assert decision.verdict is Verdict.BUILD
    assert decision.reason == "wanted from source, although upstream has demo-1.0-py3-none-any.whl"


def test_without_source_nothing_can_be_built() -> None:
    decision = decided(wheel("1.0"), policy="always")

    assert (decision.verdict, str(decision.version)) == (Verdict.IMPOSSIBLE, "1.0")
    assert decision.reason == "1.0 has no source distribution upstream, only wheels such as demo-1.0-py3-none-any.whl"


def test_the_python_of_the_platform_decides_before_the_version_does() -> None:
    files = [sdist("2.0", requires_python=">=3.12"), sdist("1.9", requires_python=">=3.9"), sdist("1.8")]

    decision = decided(*files)

    assert str(decision.version) == "1.9"
    assert decision.reason.endswith("; not 2.0: it needs Python >=3.12, debian12-x86_64-cp311 has 3.11.2")


def test_a_requirement_on_python_that_cannot_be_read_is_ignored_as_pip_ignores_it() -> None:
    assert str(decided(sdist("1.0", requires_python="three")).version) == "1.0"


def test_the_patch_release_of_python_counts() -> None:
    assert decided(sdist("1.0", requires_python="!=3.11.2")).version is None


def test_a_version_with_nothing_for_this_platform_is_passed_over_with_a_reason() -> None:
    decision = decided(sdist("1.0"), wheel("2.0", "cp311-cp311-win_amd64"))

    assert str(decision.version) == "1.0"
    assert "not 2.0: it has neither a source distribution nor a wheel for debian12-x86_64-cp311" in decision.reason


def test_files_without_a_digest_do_not_exist_for_the_farm() -> None:
    decision = decided(sdist("2.0", sha256=None), sdist("1.0"))

    assert str(decision.version) == "1.0"
    assert "not 2.0: the index gives no sha256 of its files" in decision.reason


def test_yanked_versions_are_passed_over() -> None:
    decision = decided(sdist("2.0", yanked="broken"), sdist("1.0"))

    assert str(decision.version) == "1.0"
    assert "not 2.0: it is yanked (broken)" in decision.reason


@pytest.mark.parametrize(
    ("specifier", "version"), [("==2.0", "2.0"), ("===2.0", "2.0"), ("==2.*", None), (">=2", None)]
)
def test_only_a_pin_reaches_a_yanked_version(specifier: str, version: str | None) -> None:
    decision = decided(sdist("2.0", yanked=""), sdist("1.0"), specifier=specifier)

    assert decision.version == (Version(version) if version else None)


@pytest.mark.parametrize(
    ("specifier", "version"), [("", "1.0"), (">=2.0rc1", "2.0rc1"), ("==2.0rc1", "2.0rc1"), (">=2", None)]
)
def test_pre_releases_are_taken_where_they_are_asked_for(specifier: str, version: str | None) -> None:
    decision = decided(sdist("1.0"), sdist("2.0rc1"), specifier=specifier)

    assert decision.version == (Version(version) if version else None)


def test_pre_releases_are_taken_where_there_is_nothing_else() -> None:
    assert str(decided(sdist("2.0rc1"), sdist("2.0b1")).version) == "2.0rc1"


@pytest.mark.parametrize(
    ("files", "specifier", "reason"),
    [
        ([], "", "upstream lists no files of it"),
        ([sdist("1.0")], ">=2", "no version fits >=2; the newest upstream is 1.0"),
        (
            [sdist("1.0", requires_python=">=3.12")],
            "",
            "1.0 cannot be had for debian12-x86_64-cp311: it needs Python >=3.12, debian12-x86_64-cp311 has 3.11.2",
        ),
        ([sdist("1.0", yanked="oops")], "", "1.0 cannot be had for debian12-x86_64-cp311: it is yanked (oops)"),
    ],
)
def test_where_nothing_fits_the_reason_says_why(files: list[File], specifier: str, reason: str) -> None:
    decision = decided(*files, specifier=specifier)

    assert (decision.verdict, decision.version, decision.reason) == (Verdict.IMPOSSIBLE, None, reason)


def test_of_two_source_distributions_the_tar_ball_is_taken() -> None:
    decision = decided(sdist("1.0", filename="demo-1.0.zip"), sdist("1.0"))

    assert decision.sdist is not None
    assert decision.sdist.filename == "demo-1.0.tar.gz"


@pytest.mark.parametrize(
    ("wheel_here", "platform", "is_served"),
    [
        (built("1.0", "py3-none-any"), ARM, True),
        (built("1.0", "cp38-abi3-manylinux_2_17_x86_64"), TRIXIE, True),
        (built("1.0", "cp311-abi3-manylinux_2_17_x86_64"), BULLSEYE, False),
        (built("1.0", "cp311-cp311-manylinux_2_34_x86_64"), BOOKWORM, True),
        (built("1.0", "cp39-cp39-manylinux_2_34_x86_64"), BULLSEYE, False),
        (built("1.0", "cp38-abi3-linux_x86_64", view="debian12-x86_64"), BOOKWORM, True),
        (built("1.0", "cp38-abi3-linux_x86_64", view="debian12-x86_64"), TRIXIE, False),
        (built("1.0", "cp38-abi3-manylinux_2_17_x86_64"), ARM, False),
        (built("2.0", "py3-none-any"), ARM, False),
    ],
)
def test_a_wheel_built_for_one_platform_serves_as_far_as_it_reaches(
    wheel_here: Built, platform: Platform, *, is_served: bool
) -> None:
    decision = decided(sdist("1.0"), policy="always", platform=platform, built=[wheel_here])

    assert decision.verdict is (Verdict.UNNEEDED if is_served else Verdict.BUILD)
    assert decision.served_by == (wheel_here.filename if is_served else None)


VERSIONS = st.sampled_from(["0.9", "1.0", "1.0.post1", "1.1rc1", "1.1", "2.0.dev1", "2.0a1", "2.0"])
SPECIFIERS = st.lists(
    st.builds(
        "{}{}".format, st.sampled_from(["==", ">=", "<", "~=", "!=", ">"]), st.sampled_from(["1.0", "1.1rc1", "2.0"])
    ),
    max_size=2,
).map(",".join)
TAGS = st.sampled_from(
    [
        "py3-none-any",
        "py2-none-any",
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp38-abi3-manylinux2014_x86_64",
        "cp312-cp312-manylinux_2_28_x86_64",
        "cp311-cp311-linux_x86_64",
    ]
)
LISTED = {
    "requires_python": st.sampled_from([None, ">=3.9", ">=3.12", "<3.11.2", "junk"]),
    "yanked": st.sampled_from([None, None, None, "", "bad"]),
    "sha256": st.sampled_from([DIGEST, DIGEST, DIGEST, None]),
}
FILES = st.lists(
    st.builds(sdist, VERSIONS, **LISTED) | st.builds(wheel, VERSIONS, TAGS, **LISTED),
    max_size=8,
    unique_by=lambda file: file.filename,
)


@settings(deadline=None)
@given(files=FILES, specifier=SPECIFIERS, policy=st.sampled_from(BuildPolicy))
def test_whatever_is_decided_can_be_done(files: list[File], specifier: str, policy: BuildPolicy) -> None:
    wanted = SpecifierSet(specifier)

    decision = decided(*files, specifier=specifier, policy=policy)

    assert decision.reason
    if decision.version is None:
        assert decision.verdict is Verdict.IMPOSSIBLE
        return
    assert wanted.contains(decision.version, prereleases=True)
    if decision.verdict is Verdict.BUILD:
        assert decision.sdist in files
        assert decision.sdist is not None
        assert decision.sdist.sha256 is not None
    for file in (decision.sdist, choose(files, specifier=wanted, platform=BOOKWORM).wheel):
        if file is not None:
            assert file.version == decision.version
            assert file.requires_python != ">=3.12"
            assert file.yanked is None or is_pinned(wanted)


@settings(deadline=None)
@given(files=FILES, order=st.randoms(use_true_random=False))
def test_the_order_of_the_files_decides_nothing(files: list[File], order: random.Random) -> None:
    shuffled = order.sample(files, len(files))

    assert decided(*files) == decided(*shuffled)


@given(tag=TAGS)
def test_a_wheel_serves_exactly_where_packaging_says_so(tag: str) -> None:
    _, _, _, expanded = parse_wheel_filename(f"demo-1.0-{tag}.whl")

    here = Built(filename="", version=Version("1.0"), tags=expanded)

    assert serves(here, BOOKWORM) == bool(expanded & BOOKWORM.tags)


# pip's own finder, asked about the same files; the version that it takes, and whether that is yanked.
ASK_PIP = """
import json, sys
from pip._internal.index.package_finder import CandidateEvaluator, LinkEvaluator, LinkType
from pip._internal.models.candidate import InstallationCandidate
from pip._internal.models.link import Link
from pip._internal.models.target_python import TargetPython
from pip._vendor.packaging.specifiers import SpecifierSet

asked = json.load(sys.stdin)
target = TargetPython(platforms=asked["platforms"], py_version_info=(3, 11, 2), abis=["cp311"], implementation="cp")
evaluator = LinkEvaluator("demo", "demo", frozenset({"source", "binary"}), target, True, False)
answers = []
for case in asked["cases"]:
    candidates = []
    for file in case["files"]:
        link = Link("https://x/" + file["filename"], requires_python=file["python"], yanked_reason=file["yanked"])
        kind, found = evaluator.evaluate_link(link)
        if kind is LinkType.candidate:
            candidates.append(InstallationCandidate("demo", found, link))
    chooser = CandidateEvaluator.create("demo", target_python=target, specifier=SpecifierSet(case["specifier"]))
    best = chooser.compute_best_candidate(candidates).best_candidate
    answers.append(None if best is None else [str(best.version), best.link.is_yanked])
json.dump(answers, sys.stdout)
"""


def test_pip_takes_the_same_version() -> None:
    dice = random.Random(20261121)
    versions = ["0.9", "1.0", "1.0.post1", "1.1rc1", "1.1", "2.0.dev1", "2.0a1", "2.0"]
    specifiers = ["", "==1.0", "==2.0", ">=1.1rc1", "<2.0", "~=1.0", "!=2.0", "==1.*", ">1.0,<2.0", "===1.1"]
    kinds = ["cp311-cp311-manylinux_2_28_x86_64", "py3-none-any", "cp312-cp312-linux_x86_64", "py2-none-any", "", ""]
    cases: list[tuple[list[File], str]] = []
    for _ in range(400):
        files = {}
        for _ in range(dice.randrange(7)):
            version, tag = dice.choice(versions), dice.choice(kinds)
            listed = {
                "requires_python": dice.choice([None, None, ">=3.12", "<3.12", "junk"]),
                "yanked": dice.choice([None, None, None, "bad"]),
            }
            file = wheel(version, tag, **listed) if tag else sdist(version, **listed)
            files[file.filename] = file
        cases.append((list(files.values()), dice.choice(specifiers)))

    answers = ask_pip(cases)

    for (files_of_case, specifier), answer in zip(cases, answers, strict=True):
        ours = decided(*files_of_case, specifier=specifier).version
        # The finder offers a yanked file where there is nothing else; the resolver above it takes that for a pin only.
        theirs = answer[0] if answer and (not answer[1] or is_pinned(SpecifierSet(specifier))) else None
        assert (str(ours) if ours else None) == theirs, (files_of_case, specifier)


def ask_pip(cases: list[tuple[list[File], str]]) -> list[list[Any] | None]:
    asked = {
        "platforms": list(dict.fromkeys(tag.platform for tag in BOOKWORM.ordered_tags if tag.platform != "any")),
        "cases": [
            {
                "specifier": specifier,
                "files": [
                    {"filename": file.filename, "python": file.requires_python, "yanked": file.yanked} for file in files
                ],
            }
            for files, specifier in cases
        ],
    }
    told = subprocess.run(
        [sys.executable, "-c", ASK_PIP], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    answers: list[list[Any] | None] = json.loads(told.stdout)
    return answers
