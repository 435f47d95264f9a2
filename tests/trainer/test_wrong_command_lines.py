"""Each wrong or odd command line is answered in one line, in the process that would start Ray."""

import pytest
from tiers import rows_of_tier

from amir_verl.cli.dry_run import check_run
from benchmarks.wrong_command_lines import LINES, make_files, words_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_files(folder)
    return folder


@pytest.mark.parametrize("line", rows_of_tier(LINES), ids=lambda line: " ".join(line.words))
def test_it_is_answered_in_one_line(line, folder):
    lines = []
    expected = line.said.format(here=folder)
    if not line.refused:
        check_run(words_of(line, folder), say=lines.append)
        assert any(said.startswith(expected) for said in lines) if expected else lines == []
        return
    with pytest.raises(ValueError) as refusal:
        check_run(words_of(line, folder), say=lines.append)
    assert str(refusal.value).startswith(expected)
    assert "\n" not in str(refusal.value)


def test_the_list_is_long_and_has_no_line_twice():
    assert len({line.words for line in LINES}) == len(LINES) >= 75
