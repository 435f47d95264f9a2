"""Files as people have them, whole and damaged: every error names the file and the row."""

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from amir_verl.data.row_files import read_rows

ROWS = [{"a": 1}, {"a": 2}]


def _parquet_bytes(rows):
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.jsonl", b'{"a": 1}\n{"a": 2}\n'),
        ("r.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}'),
        ("r.json", b'[{"a": 1}, {"a": 2}]'),
        ("r.json", b'\xef\xbb\xbf \n [{"a": 1},\n {"a": 2}]'),
        ("r.json", b'{"a": 1}\n{"a": 2}\n'),
        ("r.parquet", _parquet_bytes(ROWS)),
    ],
)
def test_rows_in_every_format(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert [row for _, row in read_rows(tmp_path / name)] == ROWS


def test_one_problem_a_file(tmp_path):
    (tmp_path / "1.json").write_text(json.dumps(ROWS[0], indent=2))
    assert list(read_rows(tmp_path / "1.json")) == [(str(tmp_path / "1.json"), ROWS[0])]


def test_places_count_from_one_and_by_line(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert [place for place, _ in read_rows(path)] == [f"{path} row 1", f"{path} row 3"]


_TRUNCATED = _parquet_bytes(ROWS)[:-20]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.jsonl", b'{"a": 1}\n{"a": \n', "r.jsonl row 2: not valid JSON"),
        ("r.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "r.jsonl row 2: not UTF-8"),
        ("r.jsonl", b'{"a": 1}\n[1]\n', "r.jsonl row 2: is list, expected an object"),
        ("r.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "r.jsonl row 1: not valid JSON"),
        ("r.jsonl", b"[" * 100_000, "r.jsonl row 1: JSON that cannot be read"),
        ("r.jsonl", b'{"a": ' + b"9" * 10_000 + b"}", "r.jsonl row 1: JSON that cannot be read"),
        ("r.jsonl", b"", "r.jsonl: has no rows"),
        ("r.json", b"[]", "r.json: has no rows"),
        ("r.json", b'[{"a": 1}, 2]', "r.json row 2: is int"),
        ("r.json", b'[{"a": 1},\n{"a": }]', "r.json: not valid JSON: .*line 2"),
        ("r.json", b'{"a":\n 1', "r.json: not valid JSON"),
        ("r.json", b'[{"a": "\xff"}]', "r.json: not UTF-8"),
        ("r.parquet", _TRUNCATED, "r.parquet: not readable as parquet"),
        ("r.parquet", b"", "r.parquet: not readable as parquet"),
        ("r.csv", b"a\n1\n", "r.csv: unknown kind of file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_rows(tmp_path / name))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.jsonl: no such file"):
        list(read_rows(tmp_path / "nowhere.jsonl"))
