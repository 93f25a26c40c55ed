"""Progress: the committable offset is the first unfinished one, whatever the order and the gaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mq.app.progress import NOTE_BYTES_MAX, Progress, read_note, write_note


class ProgressAgainstModel(RuleBasedStateMachine):
    """Random reading and finishing, against sets of all that was begun and finished."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = Progress(10)
        self.position = 10
        self.begun: set[int] = set()
        self.finished: set[int] = set()
        self.highest_committable = 10

    @rule(gap=st.integers(0, 3))
    def begin(self, gap: int) -> None:
        offset = self.position + gap
        assert self.progress.begin(offset)
        self.begun.add(offset)
        self.position = offset + 1

    @rule(back=st.integers(1, 10))
    def begin_again(self, back: int) -> None:
        assert not self.progress.begin(self.position - back)

    @rule(gap=st.integers(-3, 5))
    def reach(self, gap: int) -> None:
        before = self.progress.committable
        moved = self.progress.reach(self.position + gap)
        assert moved == (self.progress.committable != before)
        self.position = max(self.position, self.position + gap)

    @precondition(lambda self: self.begun - self.finished)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.begun - self.finished)))
        before = self.progress.committable
        moved = self.progress.finish(offset)
        self.finished.add(offset)
        assert moved == (self.progress.committable != before)

    @invariant()
    def committable_is_the_first_unfinished(self) -> None:
        open_offsets = self.begun - self.finished
        expected = min(open_offsets) if open_offsets else self.position
        assert self.progress.committable == expected
        assert self.progress.open_count == len(open_offsets)
        assert self.progress.position == self.position

    @invariant()
    def finished_above_is_what_a_restart_would_repeat(self) -> None:
        committable = self.progress.committable
        assert self.progress.finished_above() == sorted(o for o in self.finished if o > committable)

    @invariant()
    def never_falls(self) -> None:
        assert self.progress.committable >= self.highest_committable
        self.highest_committable = self.progress.committable


TestProgressAgainstModel = ProgressAgainstModel.TestCase


names = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=10)
values = st.text(st.characters(codec="utf-8", exclude_characters=";"), max_size=20)


@given(st.dictionaries(names, values, max_size=5))
def test_a_note_reads_back_as_it_was_written(fields: dict[str, str]) -> None:
    assert read_note(write_note(fields)) == fields


@given(st.text())
def test_a_foreign_note_reads_as_nothing_and_never_fails(text: str) -> None:
    fields = read_note(text)
    assert fields == {} or text.startswith("mq1;")


def test_a_note_that_kafka_would_refuse_is_emptied() -> None:
    note = write_note({"acks": "x" * NOTE_BYTES_MAX})
    assert len(note.encode()) <= NOTE_BYTES_MAX
    assert read_note(note) == {}


def test_no_note_reads_as_nothing() -> None:
    assert read_note(None) == {}
