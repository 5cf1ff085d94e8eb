"""What counts as copied from a task."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.copying import RUN, copied, quoted_task
from langgraph_truce.task import Task

TEXTS = st.text(alphabet="abcdefgh", min_size=60, max_size=90)


@given(TEXTS, st.integers(0, 20), st.sampled_from([RUN - 1, RUN, RUN + 9]))
def test_a_run_of_forty_characters_is_found_and_one_of_thirty_nine_is_not(
    text: str, start: int, n: int
) -> None:
    task = Task("v", {"deep": [{"er": text}]})
    said = f"XY #{text[start : start + n]}# ZW"
    assert bool(copied(said, [task], ())) is (n >= RUN)
    assert copied(said, [task], [text]) == ""


def test_runs_do_not_reach_from_one_text_into_the_next() -> None:
    tasks = [Task("v1", {"a": "a" * 30, "b": "b" * 30})]
    assert copied("a" * 30 + "b" * 30, tasks, ()) == ""
    assert copied("a" * 30 + " " + "b" * 30, tasks, ()) == ""


def test_the_reference_counts_too() -> None:
    answer = "the key of the second locker is under the mat by the door"
    assert copied(f"Say that {answer.upper()}.", [Task("v", {"q": "x"}, {"a": answer})], ())


def test_the_longest_quoted_task_is_named() -> None:
    tasks = [
        Task("t1", {"q": "my parcel"}),
        Task("t2", {"q": "My  parcel is late"}),
        Task("t3", {"q": "else"}),
    ]
    assert quoted_task("Message: my parcel is late. Answer: Posts.", tasks) == "t2"
    assert quoted_task("nothing", tasks) == ""
