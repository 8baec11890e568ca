"""The verdict matrix: every scenario comes out as it says, and the matrix would notice if one did not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pileus.verdicts import SCENARIOS, Answerer, Matrix, UnknownScenario, run_scenario, scenario_named
from pileus.verdicts.matrix import FLAGS, parse_table
from pileus.verdicts.report import matrix_json, matrix_lines
from pov_validator import Invalid
from pov_validator.roles import Role

Pileus = Callable[..., SimpleNamespace]


@pytest.fixture(scope="module")
def matrices() -> dict[str, Matrix]:
    """Every scenario, played once."""
    return {name: run_scenario(scenario, 0) for name, scenario in SCENARIOS.items()}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_is_as_expected(matrices: dict[str, Matrix], name: str) -> None:
    assert matrices[name].differences == ()


def test_the_scenarios_of_the_plan_are_there() -> None:
    assert set(SCENARIOS) >= {
        *("happy", "absent-key", "pruned-before-approval", "dispute-a-day-later", "abandoned-fork"),
        *(
            "reverted-inclusion",
            "warp-synced",
            "old-relay-parent",
            "lies-about-value",
            "omits-node",
            "adds-node",
        ),
        *("stale-root", "foreign-root", "corrupted-database", "different-pruning", "sibling-head-reverted"),
    }


def test_each_says_who_says_so(repository: Path) -> None:
    references = (repository / "docs" / "references.md").read_text(encoding="utf-8")
    for scenario in SCENARIOS.values():
        assert scenario.sources
        for tag in scenario.sources:
            assert f"**[{tag}]**" in references, (scenario.name, tag)


def test_own_state_and_carried_proof_never_contradict_where_naive_reading_does(
    matrices: dict[str, Matrix],
) -> None:
    flagged = {
        (name, column.answerer): column.flags
        for name, matrix in matrices.items()
        for column in matrix.columns
        if column.flags
    }
    assert {answerer for _, answerer in flagged} == {Answerer.NAIVE}
    assert flagged["dispute-a-day-later", Answerer.NAIVE] == ("disagree", "slash")


def test_what_own_state_lacks_is_an_abstention_and_under_carried_proof_nobody_abstains(
    matrices: dict[str, Matrix],
) -> None:
    abstained = {
        column.answerer
        for matrix in matrices.values()
        for column in matrix.columns
        for row in column.rows
        for judged in row.judged
        if judged.judgement.role is not Role.COLLATOR and row.text.startswith("abstains")
    }
    assert abstained == {Answerer.OWN}


def test_no_honest_candidate_is_found_invalid_under_a_sound_answerer(matrices: dict[str, Matrix]) -> None:
    for name, matrix in matrices.items():
        for column in matrix.columns:
            dishonest = any("dishonest" in row.label for row in column.rows)
            invalid = [
                row.label
                for row in column.rows
                if any(isinstance(judged.judgement.verdict, Invalid) for judged in row.judged)
            ]
            if column.answerer is not Answerer.NAIVE:
                assert bool(invalid) == dishonest, (name, column.answerer, invalid)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_seed_decides_nothing_that_is_expected(name: str) -> None:
    """With this one the lot draws the validator with the damaged disk to check approval, with seed 0 it does not."""
    assert run_scenario(SCENARIOS[name], 123456789).differences == ()


def test_the_same_seed_gives_the_same_json() -> None:
    scenario = SCENARIOS["omits-node"]
    first, second = (matrix_json(scenario, run_scenario(scenario, 5)) for _ in range(2))
    assert first == second
    cell = first["answerers"]["carried"]["cells"][1]
    assert cell["verdict"] == "invalid RelayWitnessMissing"
    assert cell["judges"][0]["relay_reads"] == 1
    assert cell["judges"][0]["relay_proof_bytes"] > 300


class TestDifferences:
    """A table that says otherwise is a failure."""

    def test_each_changed_cell_is_found(self, matrices: dict[str, Matrix]) -> None:
        scenario = SCENARIOS["omits-node"]
        other = scenario.expected.replace("invalid RelayWitnessMissing", "abstains RelayStateUnavailable")
        wrong = replace(scenario, expected=other)
        matrix = run_scenario(wrong, 0)
        assert len(matrix.differences) == 3
        assert matrix.differences[0] == (
            "backer, carried: expected abstains RelayStateUnavailable, found invalid RelayWitnessMissing"
        )
        assert "NOT AS EXPECTED" in "\n".join(matrix_lines(wrong, matrix))

    def test_a_missing_and_an_extra_row_are_found(self) -> None:
        scenario = SCENARIOS["omits-node"]
        lines = [line for line in scenario.expected.splitlines() if "approval checker" not in line]
        extra = "        full moon  valid  valid"
        matrix = run_scenario(replace(scenario, expected="\n".join([*lines, extra])), 0)
        assert {difference.split(",")[0] for difference in matrix.differences} == {
            "approval checker",
            "full moon",
        }

    def test_a_table_with_a_hole_is_refused(self) -> None:
        with pytest.raises(ValueError, match="1 cells for 2 answerers"):
            parse_table("own  carried\nbacker  valid")
        with pytest.raises(ValueError, match="nobody"):
            parse_table("own  nobody")

    def test_the_command_fails(self, pileus: Pileus, monkeypatch: pytest.MonkeyPatch) -> None:
        scenario = SCENARIOS["omits-node"]
        wrong = replace(scenario, expected=scenario.expected.replace("3 dishonest", "nobody"))
        monkeypatch.setitem(SCENARIOS, "omits-node", wrong)  # type: ignore[arg-type]
        result = pileus("verdicts", "omits-node")
        assert result.status == 1
        assert result.err == "pileus: 2 cells are not as expected\n"
        assert "NOT AS EXPECTED  > slashed, carried: expected nobody, found 3 dishonest" in result.out


class TestCommand:
    def test_one_scenario(self, pileus: Pileus) -> None:
        result = pileus("verdicts", "warp-synced", "--seed", 3)
        assert (result.status, result.err) == (0, "")
        assert "dispute participant, warp-synced  abstains RelayStateUnavailable" in result.out
        assert f"! {FLAGS}" in result.out
        assert "relay reads" in result.out
        assert result.out.endswith("1 scenario, every cell as expected; seed 3\n")

    def test_json(self, pileus: Pileus) -> None:
        result = pileus("verdicts", "adds-node", "--json")
        assert (result.status, result.err) == (0, "")
        document = json.loads(result.out)
        assert document["scenarios"][0]["as_expected"] is True
        assert set(document["scenarios"][0]["answerers"]) == {"carried", "fallback"}

    def test_without_a_name_they_are_listed(self, pileus: Pileus) -> None:
        result = pileus("verdicts")
        assert result.status == 0
        assert [line.split()[0] for line in result.out.splitlines()] == list(SCENARIOS)
        assert len(json.loads(pileus("verdicts", "--json").out)) == len(SCENARIOS)

    def test_mistakes_are_one_line(self, pileus: Pileus) -> None:
        for arguments, part in (
            (("verdicts", "full-moon"), "no scenario 'full-moon'; there are happy, absent-key"),
            (("verdicts", "happy", "--all"), "exclude each other"),
            (("verdicts", "--all", "--write-docs", "x"), "exclude each other"),
            (("verdicts", "happy", "--seed", "-1"), "--seed"),
        ):
            result = pileus(*arguments)
            assert (result.status, result.err.count("\n")) == (2, 1), result
            assert part in result.err
        with pytest.raises(UnknownScenario):
            scenario_named("x" * 1000)


def test_the_documents_of_record_are_what_a_run_gives(
    pileus: Pileus, repository: Path, tmp_path: Path
) -> None:
    """After a change that they tell of: `make records`, and read the difference."""
    assert pileus("verdicts", "--write-docs", tmp_path / "record").status == 0
    committed = repository / "docs" / "record"
    written = sorted(path.name for path in (tmp_path / "record").iterdir())
    assert written == sorted(path.name for path in committed.iterdir())
    for name in written:
        assert (tmp_path / "record" / name).read_bytes() == (committed / name).read_bytes(), name


def test_the_scenario_of_the_page(repository: Path) -> None:
    page = (repository / "docs" / "verdicts.md").read_text(encoding="utf-8")
    exec(page.split("```python\n")[1].split("```")[0], {})
