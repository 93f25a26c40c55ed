"""Which file of the journal takes a group, in all orders of writing and checkpointing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mq.log.entries import BLOCK_BYTES
from mq.log.rotation import Place, Rotation

CAPACITY = 5 * BLOCK_BYTES
sizes = st.integers(1, 6).map(lambda blocks: blocks * BLOCK_BYTES)


class Files(RuleBasedStateMachine):
    """Two files, and which groups in them have not been checkpointed."""

    def __init__(self) -> None:
        super().__init__()
        self.rotation = Rotation(CAPACITY, 7)
        self.needed: dict[int, list[tuple[Place, int]]] = {}  # by generation
        self.last: Place | None = None

    @rule(size=sizes)
    def write(self, size: int) -> None:
        room = self.rotation.room()
        place = self.rotation.place(size)
        assert (place is not None) == (size <= room)
        if place is None:
            return
        assert 0 <= place.position <= CAPACITY - size
        for written in self.needed.values():
            for old, length in written:
                apart = place.position >= old.position + length or (
                    old.position >= place.position + size
                )
                assert old.file != place.file or apart, "a group that is needed is overwritten"
        self.needed.setdefault(place.generation, []).append((place, size))
        assert place.oldest == min(self.needed)
        if self.last is not None:
            follows = (self.last.generation, self.last.sequence + 1)
            begins = (self.last.generation + 1, 0)
            assert (place.generation, place.sequence) in (follows, begins)
            assert (place.file == self.last.file) == (place.generation == self.last.generation)
        self.last = place

    @precondition(lambda self: self.rotation.full is not None)
    @rule()
    def checkpoint(self) -> None:
        full = self.rotation.full
        assert full is not None
        assert full != self.last.generation  # type: ignore[union-attr]
        self.rotation.free(full)
        del self.needed[full]

    @invariant()
    def two_files_hold_two_generations(self) -> None:
        assert len(self.needed) <= 2


TestFiles = Files.TestCase


def test_a_group_larger_than_a_file_has_no_room() -> None:
    rotation = Rotation(CAPACITY, 1)
    assert rotation.place(CAPACITY + 1) is None
    assert rotation.place(CAPACITY) == Place(0, 0, 1, 0, 1)


@given(st.lists(sizes, max_size=20))
def test_without_checkpoints_both_files_fill_up_and_then_nothing_fits(groups: list[int]) -> None:
    rotation = Rotation(CAPACITY, 1)
    places = [place for size in groups if (place := rotation.place(size))]
    assert {place.generation for place in places} <= {1, 2}
    assert all(place.oldest == 1 for place in places)
