"""What a key's profile allows for tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .answers import Refusal

ANY = ("*",)


@dataclass(frozen=True, slots=True)
class Profile:
    tools: Sequence[str]
    blocked: Sequence[str]
    agents: Sequence[str]
    skills: Sequence[str]
    seconds: int
    cost: float


PROFILES = {
    "free": Profile(("Read",), ("Write", "Edit", "Bash"), (), (), 60, 0.10),
    "pro": Profile(
        ("Read", "Grep", "Glob", "Bash"),
        ("Write", "Edit"),
        ("security-auditor", "code-reviewer"),
        ("vulnerability-scanner", "code-analyzer"),
        300,
        1.00,
    ),
    "enterprise": Profile(ANY, (), ANY, ANY, 600, 10.00),
}

AGENTS = {
    "code-reviewer": "Reads a change and says what is wrong with it",
    "security-auditor": "Looks for holes",
    "test-writer": "Writes the tests that are missing",
}
SKILLS = {
    "code-analyzer": "Measures code",
    "semantic-text-matcher": "Finds texts that mean the same",
    "vulnerability-scanner": "Looks for known holes in what is depended on",
}


def permit(
    profile_name: str | None,
    tools: Sequence[str],
    agents: Sequence[str],
    skills: Sequence[str],
    timeout: int,
    max_cost: float,
) -> None:
    """Refuse the first thing that the profile does not allow."""
    profile = PROFILES.get(profile_name or "")
    if profile is None:
        raise _denied("No permission profile found for API key")
    for tool in tools:
        if tool in profile.blocked:
            raise _denied(f"Tool '{tool}' is explicitly blocked")
        if not _allows(profile.tools, tool):
            raise _denied(f"Tool '{tool}' is not in allowed list")
    for agent in agents:
        if not _allows(profile.agents, agent):
            raise _denied(f"Agent '{agent}' is not in allowed list")
    for skill in skills:
        if not _allows(profile.skills, skill):
            raise _denied(f"Skill '{skill}' is not in allowed list")
    if timeout > profile.seconds:
        raise _denied(f"Requested timeout ({timeout}s) exceeds limit ({profile.seconds}s)")
    if max_cost > profile.cost:
        raise _denied(f"Requested max cost (${max_cost}) exceeds limit (${profile.cost})")


def _allows(allowed: Sequence[str], name: str) -> bool:
    return "*" in allowed or name in allowed


def _denied(reason: str) -> Refusal:
    return Refusal(403, f"Permission denied: {reason}")
