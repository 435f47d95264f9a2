"""Gold answers out of real and damaged solutions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amir_verl.data.gold_answers import hash_line_answer, integer_text, last_box, number_text


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("so there are \\boxed{204} minutes", "204"),
        ("$\\boxed{\\frac{1}{2n+2}}$", "\\frac{1}{2n+2}"),
        ("First $\\boxed{1}$, then $\\boxed{\\left\\{2, 3\\right\\}}$.", "\\left\\{2, 3\\right\\}"),
        ("$\\boxed{ \\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix} }$", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"),
        ("$\\boxed{\\text{(A)}}$ and more text", "\\text{(A)}"),
        ("$\\fbox{7}$", "7"),
        ("the answer is $\\boxed 2$.", "2"),
        ("$\\boxed{4.5e33} \\mathrm{ergs}$", "4.5e33"),
        ("there are $\\boxed{}$ primes", ""),
        ("never closes: \\boxed{\\frac{1}{2}", None),
        ("an escaped brace does not close: \\boxed{1\\}", None),
        ("no box", None),
    ],
)
def test_last_box(solution, answer):
    assert last_box(solution) == answer


_balanced = st.recursive(
    st.text(alphabet="x1+ ^,", max_size=5),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "".join(f"{{{part}}}" for part in parts)),
    max_leaves=10,
)


@given(before=_balanced, content=_balanced, after=_balanced)
def test_last_box_gives_any_balanced_content_whole(before, content, after):
    assert last_box(f"\\boxed{{{before}}} then \\boxed{{{content}}}{after}") == content.strip()


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("16 - 3 = <<16-3=13>>13\n#### 13", "13"),
        ("#### 1,450,000", "1450000"),
        ("####-5", "-5"),
        ("#### 2.50 ", "2.50"),
    ],
)
def test_hash_line(solution, answer):
    assert hash_line_answer(solution) == answer


@pytest.mark.parametrize("solution", ["the answer is 13", "#### ", "#### about 13", "#### 13\nand more", ""])
def test_hash_line_refuses(solution):
    with pytest.raises(ValueError, match="#### number"):
        hash_line_answer(solution)


@pytest.mark.parametrize(
    ("value", "text"),
    [(27.0, "27"), (-1.0, "-1"), (0.5, "0.5"), (12, "12"), (" 3/4 ", "3/4"), (1e15, "1000000000000000")],
)
def test_number_text(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, True, "", "  ", [1], {"a": 1}])
def test_number_text_refuses(value):
    with pytest.raises(ValueError, match="expected a number or text"):
        number_text(value)


@given(st.integers(-(2**53), 2**53))
def test_integers_stored_as_floats_come_back(integer):
    assert number_text(float(integer)) == str(integer)


@pytest.mark.parametrize(
    ("value", "text"),
    [("025", "25"), ("000", "0"), (70, "70"), (70.0, "70"), ("$-3$", "-3"), ("336^\\circ", "336")],
)
def test_integer_text(value, text):
    assert integer_text(value) == text


@pytest.mark.parametrize("value", ["1/2", 0.5, "70 or 71", "x"])
def test_integer_text_refuses(value):
    with pytest.raises(ValueError, match="expected an integer"):
        integer_text(value)
