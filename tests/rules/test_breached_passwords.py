"""The file of breached passwords: each one in it is found, none other, and nothing wrong with it is an error."""

import hashlib
import logging
import os

import pytest

from app.rules.breached_passwords import BreachedPasswords, problem_of, read_breached


def sha1(password):
    return hashlib.sha1(password.encode()).hexdigest().upper()


def lines(passwords, end="\r\n"):
    """As the downloader writes them: the numbers are of any length."""
    return [f"{one}:{10 ** (int(one[:2], 16) % 9)}{end}" for one in sorted(map(sha1, passwords))]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "breached.txt"


@pytest.mark.parametrize("count", [1, 2, 3, 500])
@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("lower", [True, False])
def test_each_is_found_and_none_other(path, count, end, lower):
    """Whatever ends the lines, in either case, with an end of the last line or without, or blank lines after it."""
    known = [f"password {number}" for number in range(count)]
    text = "".join(lines(known, end))
    for written in (text, text.rstrip(), text + 3 * end):
        path.write_bytes((written.lower() if lower else written).encode())
        assert problem_of(path) is None
        breached = BreachedPasswords(path)
        assert [one for one in known if not breached.has(one)] == []
        assert [number for number in range(500) if breached.has(f"other {number}")] == []


def test_hashes_without_numbers_do_too(path):
    path.write_text("\n".join(sorted(map(sha1, "abc"))), encoding="ascii")
    assert problem_of(path) is None
    assert [letter for letter in "abcd" if BreachedPasswords(path).has(letter)] == ["a", "b", "c"]


def test_a_file_in_its_place_counts_at_once(path, tmp_path):
    path.write_text("".join(lines(["old"])), encoding="ascii")
    breached = BreachedPasswords(path)
    assert (breached.has("old"), breached.has("new")) == (True, False)
    other = tmp_path / "other.txt"
    other.write_text("".join(lines(["new"])), encoding="ascii")
    other.rename(path)
    assert (breached.has("old"), breached.has("new")) == (False, True)


def test_a_file_that_is_gone_lets_all_pass_and_is_told_once(path, caplog):
    path.write_text("".join(lines(["old"])), encoding="ascii")
    breached = BreachedPasswords(path)
    path.unlink()
    with caplog.at_level(logging.WARNING):
        assert [breached.has("old") for _ in range(3)] == [False] * 3
        assert caplog.text.count("BREACHED_PASSWORDS cannot be read") == 1
        path.write_text("".join(lines(["old"])), encoding="ascii")
        assert breached.has("old")
        path.unlink()
        assert not breached.has("old")
    assert caplog.text.count("BREACHED_PASSWORDS cannot be read") == 2
    assert sha1("old") not in caplog.text.upper()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a line for each password"),
        (b"\n\n\n", "a line for each password"),
        (b"password\nletmein\n", "a line for each password"),
        (b"\x1f\x8b" + b"\0" * 5000, "a line for each password"),
        (b"x" * 100_000, "a line for each password"),
        ("".join(f"{'A' * 31}{digit}:1\n" for digit in "123").encode(), "a line for each password"),
        ("".join(reversed(lines(map(str, range(400))))).encode(), "sorted by hash"),
        ("".join(lines("ab")).encode() + b"\0" * 5000, "a line for each password"),
        (("\ufeff" + "".join(lines("ab"))).encode(), "a line for each password"),
    ],
)
def test_what_is_no_such_file_is_told_at_start_and_harmless(path, content, said):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_breached(str(path))
    assert not BreachedPasswords(path).has("password")


def test_a_file_that_cannot_be_opened_is_told_at_start(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for wrong in (tmp_path, tmp_path / "none.txt", tmp_path / "pipe"):
        with pytest.raises(ValueError, match="cannot be read"):
            read_breached(str(wrong))


def test_a_line_is_found_with_few_reads(path, monkeypatch):
    """The real file has a thousand million lines: 40 halves."""
    path.write_text("".join(lines(map(str, range(20_000)))), encoding="ascii")
    reads = []
    pread = os.pread
    monkeypatch.setattr("os.pread", lambda *args: reads.append(1) or pread(*args))
    assert BreachedPasswords(path).has("17000")
    assert len(reads) <= 2 * 21
