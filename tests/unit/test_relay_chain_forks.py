"""Forks, reverts, finality that lags or stalls, sessions, and what each node still holds of it all."""

from __future__ import annotations

import pytest

from host_functions.errors import StateUnavailable
from pileus.relay_chain import RelayBlock, RelayChain, RelayChainConfig, StateDatabase
from pileus.relay_chain.chain import NotViable, UnknownRelayBlock
from pileus.relay_chain.inclusion import RefusalReason
from pileus.relay_chain.judging import judge
from pileus.relay_chain.node import RelayNode
from pileus.relay_chain.sessions import byzantine_threshold, supermajority_threshold
from pileus.testing.relay_chains import collate, dev_validators, make_chain
from pov_validator import Abstain, Carried, Fallback, Invalid, OwnState, Valid
from pov_validator.roles import Role
from runtime.primitives import relay_keys


def extend(chain: RelayChain, block: RelayBlock, count: int, *, skip: int = 1) -> RelayBlock:
    """`count` blocks on `block`, the first one `skip` slots later."""
    for _ in range(count):
        block = chain.build_block(parent=block.hash, slot=block.slot + skip).block
        skip = 1
    return block


class TestForkChoice:
    def test_a_revert_makes_the_next_best_fork_best(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=9))
        short = extend(chain, chain.genesis, 2)
        long = extend(chain, chain.genesis, 3, skip=7)
        assert chain.best == long
        chain.revert(chain.ancestry(long, 1)[-1].hash)
        assert chain.best == short
        assert not chain.tree.is_viable(long)
        assert chain.has_state(long)
        assert chain.tree.is_viable(chain.ancestry(long, 2)[-1])

    def test_what_is_built_on_a_reverted_block_never_becomes_best(self) -> None:
        chain = make_chain()
        block = extend(chain, chain.genesis, 1)
        chain.revert(block.hash)
        assert chain.best == chain.genesis
        extend(chain, block, 5)
        assert chain.best == chain.genesis
        replacement = extend(chain, chain.genesis, 1, skip=9)
        assert chain.best == replacement

    def test_finalized_blocks_are_not_reverted_and_reverted_ones_not_finalized(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=1))
        tip = extend(chain, chain.genesis, 4)
        with pytest.raises(NotViable, match="is finalized"):
            chain.revert(chain.finalized.hash)
        chain.revert(tip.hash)
        with pytest.raises(NotViable, match="reverted"):
            chain.finalize(tip.hash)
        with pytest.raises(UnknownRelayBlock):
            chain.revert(bytes(32))
        chain.revert(tip.hash)

    def test_finalizing_a_fork_abandons_the_longer_one(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=10))
        fork = extend(chain, chain.genesis, 1)
        long = extend(chain, chain.genesis, 5, skip=7)
        child = extend(chain, fork, 1)
        chain.finalize(fork.hash)
        assert (chain.finalized, chain.best) == (fork, child)
        for block in chain.ancestry(long, 4):
            assert not chain.has_state(block)
            assert not chain.tree.is_viable(block)
        with pytest.raises(NotViable):
            chain.finalize(long.hash)
        with pytest.raises(NotViable):
            chain.build_block(parent=long.hash)

    def test_ancestors(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=1))
        left = extend(chain, chain.genesis, 3)
        right = extend(chain, chain.ancestry(left, 1)[-1], 2, skip=5)
        tree = chain.tree
        assert tree.is_ancestor(chain.genesis, right)
        assert tree.is_ancestor(right, right)
        assert not tree.is_ancestor(left, right)
        assert not tree.is_ancestor(right, chain.genesis)
        assert {block.hash for block in tree.descendants(chain.genesis)} == {block.hash for block in tree}


class TestFinality:
    def test_it_stalls_and_catches_up(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=2, state_pruning=1))
        extend(chain, chain.genesis, 4)
        assert chain.finalized.number == 2
        chain.stall_finality()
        tip = extend(chain, chain.best, 20)
        assert chain.finalized.number == 2
        assert all(chain.has_state(block) for block in chain.ancestry(tip, tip.number - 2))
        chain.resume_finality()
        assert chain.finalized.number == tip.number - 2
        assert not chain.has_state(chain.ancestry(tip, 3)[-1])

    def test_the_lag_may_change(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=0))
        extend(chain, chain.genesis, 3)
        assert chain.finalized == chain.best
        chain.finality_lag = 5
        extend(chain, chain.best, 4)
        assert chain.finalized.number == 3
        extend(chain, chain.best, 2)
        assert chain.finalized.number == 4


class TestNodes:
    def make(self, prunings: tuple[int | None, ...]) -> RelayChain:
        def node_of(index: int, database: StateDatabase) -> RelayNode:
            return RelayNode(database, pruning=prunings[index % len(prunings)])

        return make_chain(
            RelayChainConfig(finality_lag=1, state_pruning=4), validators=len(prunings), node_of=node_of
        )

    def test_each_prunes_by_its_own_settings(self) -> None:
        chain = self.make((1, 3, None))
        extend(chain, chain.genesis, 12)
        nodes = [validator.node for validator in chain.validators]
        held = [{block.number for block in node.held()} for node in (*nodes, chain.node)]  # type: ignore[attr-defined]
        assert held == [{11, 12}, {9, 10, 11, 12}, set(range(13)), {8, 9, 10, 11, 12}]

    def test_a_state_that_one_node_has_lost_is_unavailable_there_only(self) -> None:
        chain = self.make((1, None))
        old = extend(chain, chain.genesis, 1)
        extend(chain, old, 6)
        pruned, archive = (validator.node for validator in chain.validators)
        with pytest.raises(StateUnavailable) as caught:
            pruned.state_at(old.state_root)
        assert caught.value.at == old.state_root
        assert archive.state_at(old.state_root)[old.state_root]
        assert not chain.has_state(old)

    def test_abandoned_forks_go_sooner_than_the_window(self) -> None:
        chain = self.make((100, None))
        chain.stall_finality()
        fork = extend(chain, chain.genesis, 3, skip=5)
        extend(chain, chain.genesis, 6)
        chain.resume_finality()
        for block in chain.ancestry(fork, 2):
            for validator in chain.validators:
                assert not validator.node.has_state(block)  # type: ignore[attr-defined]
        assert all(validator.node.has_state(chain.genesis) for validator in chain.validators)  # type: ignore[attr-defined]

    def test_warp_sync_leaves_nothing_older(self) -> None:
        chain = self.make((None, None))
        old = extend(chain, chain.genesis, 3)
        target = extend(chain, old, 4)
        node = chain.validators[0].node
        assert isinstance(node, RelayNode)
        node.warp_sync(target)
        tip = extend(chain, target, 2)
        assert {block.number for block in node.held()} == {7, 8, 9}
        with pytest.raises(StateUnavailable):
            node.state_at(old.state_root)
        assert node.state_at(tip.state_root)

    def test_warp_sync_to_a_state_that_nobody_has_changes_nothing(self) -> None:
        chain = self.make((1, 1))
        old = extend(chain, chain.genesis, 1)
        extend(chain, old, 9)
        node = chain.validators[0].node
        assert isinstance(node, RelayNode)
        before = node.held()
        with pytest.raises(StateUnavailable):
            node.warp_sync(old)
        assert node.held() == before

    def test_a_late_node_gets_what_its_settings_keep(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=0, state_pruning=8))
        extend(chain, chain.genesis, 10)
        node = RelayNode(chain.database, pruning=3)
        chain.attach(node)
        assert {block.number for block in node.held()} == {8, 9, 10}
        extend(chain, chain.best, 1)
        assert {block.number for block in node.held()} == {9, 10, 11}

    def test_pruning_everywhere_by_hand_frees_the_state(self) -> None:
        chain = self.make((None, None))
        block = extend(chain, chain.genesis, 1)
        extend(chain, block, 1)
        chain.prune_state(block)
        assert not chain.database.has_state(block.state_root)

    def test_validators_may_share_a_node_but_not_bring_another_database(self) -> None:
        shared: list[RelayNode] = []

        def node_of(index: int, database: StateDatabase) -> RelayNode:
            shared[:] = shared or [RelayNode(database)]
            return shared[0]

        chain = make_chain(node_of=node_of)
        assert chain.nodes == [chain.node, shared[0]]
        with pytest.raises(ValueError, match="another database"):
            make_chain(node_of=lambda index, database: RelayNode(StateDatabase()))

    def test_a_node_keeps_at_least_one_state(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            RelayNode(StateDatabase(), pruning=0)

    def test_two_validators_with_different_pruning_judge_differently_but_never_against_each_other(
        self,
    ) -> None:
        chain = self.make((2, None))
        collation = collate(chain, 1000, keys=[relay_keys.CURRENT_SLOT])
        carried = collate(chain, 2000, keys=[relay_keys.CURRENT_SLOT], carried=True)
        extend(chain, chain.genesis, 8)
        chain.back(collation, carried=False)
        chain.back(carried, carried=True)
        judged = [
            [
                judge(chain, candidate, Role.APPROVAL_CHECKER, validator, source).verdict
                for validator in chain.validators
                for source in (OwnState(validator.node), Carried(), Fallback(validator.node))
            ]
            for candidate in (collation.hash(), carried.hash())
        ]
        assert [type(verdict) for verdict in judged[0]] == [Abstain, Invalid, Abstain, Valid, Invalid, Valid]
        assert [type(verdict) for verdict in judged[1]] == [Abstain, Valid, Valid, Valid, Valid, Valid]


class TestSessions:
    def test_a_new_set_takes_over_two_sessions_later(self) -> None:
        chain = make_chain(RelayChainConfig(epoch_length=4), validators=4)
        others = dev_validators(6, chain.database)[2:]
        first = chain.announce_validators(others)
        assert first == 2
        authorities = {}
        while chain.session_of(chain.best).index < 3:
            block = chain.build_block().block
            session = chain.session_of(block)
            members = others if session.index >= 2 else chain.validators
            assert session.validators == members
            assert chain.signing_context(block).session_index == session.index
            for group in (chain.group_of(1000, block), chain.group_of(2000, block)):
                assert set(group) <= set(members)
            authorities[session.index] = (
                chain.state(block).get(relay_keys.AUTHORITIES),
                chain.state(block).get(relay_keys.NEXT_AUTHORITIES),
            )
        assert authorities[1][1] == authorities[2][0] != authorities[1][0]
        assert authorities[0][0] == authorities[0][1] == authorities[1][0]

    def test_there_must_be_enough_of_them(self) -> None:
        chain = make_chain(validators=4)
        with pytest.raises(ValueError, match="2 paras need as many validators"):
            chain.announce_validators(chain.validators[:1])

    def test_classic_ancestry_does_not_reach_into_the_last_session(self) -> None:
        for age, refused in ((0, True), (1, False)):
            chain = make_chain(RelayChainConfig(epoch_length=4, max_relay_parent_session_age=age))
            extend(chain, chain.genesis, 3)
            old = collate(chain, 1000)
            backed = chain.back(old, carried=False).backed
            assert backed is not None
            extend(chain, chain.best, 1)
            assert chain.session_of(chain.best).index == 1
            reasons = [refusal.reason for refusal in chain.build_block([backed]).refused]
            assert reasons == ([RefusalReason.DISALLOWED_RELAY_PARENT] if refused else [])

    def test_a_relay_parent_may_be_sessions_old_if_the_chain_says_so_and_no_older(self) -> None:
        for sessions_later, refused in ((2, False), (3, True)):
            chain = make_chain(
                RelayChainConfig(epoch_length=4, max_relay_parent_session_age=2, state_pruning=100)
            )
            old = collate(chain, 1000)
            backed = chain.back(old, carried=False).backed
            assert backed is not None
            while chain.session_of(chain.best).index < sessions_later:
                chain.build_block()
            assert bool(chain.build_block([backed]).refused) == refused

    @pytest.mark.parametrize(
        "validators, byzantine, supermajority",
        [(1, 0, 1), (2, 0, 2), (4, 1, 3), (6, 1, 5), (7, 2, 5), (10, 3, 7)],
    )
    def test_thresholds(self, validators: int, byzantine: int, supermajority: int) -> None:
        assert byzantine_threshold(validators) == byzantine
        assert supermajority_threshold(validators) == supermajority
