"""Which processor a file is for: what every one makes of a glimpse, and what is sure enough to go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from service.domain.errors import InputError
from service.domain.glimpse import Glimpse, Member
from service.domain.processor import Processor

AUTO = "auto"
"""The word for: whichever processor the content is for."""
SURE = 0.6
AHEAD = 0.05
"""How far the best must be in front of the next."""
MOST_MEMBERS = 100
"""Members of an archive that become jobs of one flow."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A processor that a file may be for, how sure that is, and why. `options` are what it has to be told."""

    processor: str
    confidence: float
    why: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A member of an archive, and the processor it is for."""

    member: str
    candidate: Candidate


class Unrecognised(InputError):
    """It is not sure which processor a file is for; `candidates` are what could be meant, best first."""

    def __init__(self, message: str, candidates: Sequence[Candidate]) -> None:
        names = ", ".join(candidate.processor for candidate in candidates)
        suggestion = f"Say which with processor=: {names}." if names else "GET /v1/processors lists what can be read."
        super().__init__("unrecognised_format", message, suggestion=suggestion)
        self.candidates = [asdict(candidate) for candidate in candidates]


def candidates(catalog: Mapping[str, Processor], glimpse: Glimpse) -> list[Candidate]:
    """All that speaks for any processor, best first; of a zip as one file. A name decides between equals."""
    found = []
    for processor in catalog.values():
        guess = None if processor.recognises is None else processor.recognises(glimpse)
        if guess is not None:
            by_name = 0.04 if glimpse.suffix and glimpse.suffix in processor.suffixes else 0.0
            sure = round(min(guess.confidence + by_name, 1.0), 2)
            found.append(Candidate(processor.name, sure, guess.why, guess.options))
    return sorted(found, key=lambda candidate: -candidate.confidence)


def decided(catalog: Mapping[str, Processor], glimpse: Glimpse) -> Candidate | list[Part]:
    """The processor for a file, or those for the members of an archive. Raises Unrecognised."""
    found = candidates(catalog, glimpse)
    if not glimpse.members or (found and found[0].confidence >= SURE):
        return _clear(found)
    parts = parts_of(catalog, glimpse)
    if len(parts) == 1:
        return _of_member(parts[0])
    if not parts:
        raise Unrecognised(_nothing_in(glimpse.members), found)
    if len(parts) > MOST_MEMBERS:
        raise Unrecognised(f"The archive has {len(parts):,} files that could be read; at most {MOST_MEMBERS} are.", ())
    return parts


def parts_of(catalog: Mapping[str, Processor], glimpse: Glimpse) -> list[Part]:
    """Those members of an archive that can be read from inside it, in its order, each with its best.

    Of two that are as sure it is the first: a file that is left out would be missed.
    """
    found = []
    for member in glimpse.members:
        if member.inside is None:
            continue
        able = [c for c in candidates(catalog, member.inside) if "member" in catalog[c.processor].options.model_fields]
        if able and able[0].confidence >= SURE:
            found.append(Part(member.name, able[0]))
    return found


def likeliest(catalog: Mapping[str, Processor], glimpse: Glimpse) -> list[Candidate]:
    """What a file may be, best first, sure or not; for people who decide themselves."""
    found = candidates(catalog, glimpse)
    if glimpse.members and not (found and found[0].confidence >= SURE):
        found += [_of_member(part) for part in parts_of(catalog, glimpse)]
    return found


def _clear(found: Sequence[Candidate]) -> Candidate:
    """The best, if it is sure and clearly in front. Raises Unrecognised."""
    if not found or found[0].confidence < SURE:
        raise Unrecognised("Nothing in the beginning of this file says clearly what it is.", found)
    if len(found) > 1 and found[0].confidence - found[1].confidence < AHEAD:
        close = [c for c in found if found[0].confidence - c.confidence < AHEAD]
        said = "; ".join(f"{c.processor}: {c.why}" for c in close)
        raise Unrecognised(f"This file can be read in several ways: {said}.", found)
    return found[0]


def _of_member(part: Part) -> Candidate:
    found = part.candidate
    why = f"{part.member!r} in the archive: {found.why}"
    return Candidate(found.processor, found.confidence, why, {**found.options, "member": part.member})


def _nothing_in(members: Sequence[Member]) -> str:
    if any(member.is_encrypted for member in members):
        return "The files in this archive are encrypted."
    return "No file in this archive is of a format that is read from inside one."
