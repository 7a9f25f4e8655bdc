"""Whether images are taken in: the disk's marks and the backlog's, and that nothing flutters."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from shared.pressure import Because, Pressure, Room
from shared.settings import Settings
from shared.watermarks import Mark


class Disk:
    """A disk of 1000 blocks, and a clock."""

    def __init__(self, free: int = 1000) -> None:
        self.free, self.looks, self.time, self.broken = free, 0, 0.0, False

    def look(self, _: Path) -> Room:
        self.looks += 1
        if self.broken:
            raise OSError(5, "Input/output error")
        return Room(10, 1000, self.free)

    def pressure(self, **settings: object) -> Pressure:
        return Pressure(Settings.model_validate(settings), self.look, lambda: self.time)

    def at(self, pressure: Pressure, free: int) -> Because | None:
        """What stands against images a while later, when so many blocks are free."""
        self.free, self.time = free, self.time + 2
        return pressure.against_images()


def test_the_disk_stops_at_one_mark_and_resumes_at_another() -> None:
    disk = Disk()
    pressure = disk.pressure(disk_warn="10%", disk_stop="3%", disk_resume="5%")
    assert disk.at(pressure, 40) is None
    found = pressure.disk()
    assert found is not None
    assert (found.free, found.total, found.low) == (400, 10_000, True)
    assert disk.at(pressure, 30) is None
    assert disk.at(pressure, 29) is Because.DISK
    assert pressure.against_senders() is Because.DISK
    assert disk.at(pressure, 49) is Because.DISK  # between the marks it stays as it was
    assert disk.at(pressure, 50) is None
    assert disk.at(pressure, 49) is None
    assert disk.at(pressure, 100) is None
    assert not pressure.disk().low  # type: ignore[union-attr]


def test_marks_may_be_bytes() -> None:
    disk = Disk()
    pressure = disk.pressure(disk_warn="9kB", disk_stop="300", disk_resume="5kB")
    assert disk.at(pressure, 29) is Because.DISK
    assert disk.at(pressure, 499) is Because.DISK
    assert disk.at(pressure, 500) is None
    assert pressure.disk().low  # type: ignore[union-attr]


def test_the_disk_is_looked_at_once_a_second_at_most() -> None:
    disk = Disk()
    pressure = disk.pressure()
    for _ in range(1000):
        pressure.against_images()
    assert disk.looks == 1
    disk.time += 1
    pressure.against_images()
    assert disk.looks == 2


def test_a_disk_that_says_nothing_changes_nothing() -> None:
    disk = Disk(free=1)
    disk.broken = True
    pressure = disk.pressure()
    assert pressure.against_images() is None
    assert pressure.disk() is None
    disk.broken = False
    assert disk.at(pressure, 1) is Because.DISK
    disk.broken = True
    assert disk.at(pressure, 1000) is Because.DISK


def test_the_backlog_stops_new_senders_only() -> None:
    pressure = Disk().pressure(backlog_stop=100, backlog_resume=80)
    for images, stopped in ((100, False), (101, True), (80, True), (79, False), (100, False)):
        pressure.note_backlog(images)
        assert pressure.against_senders() is (Because.BACKLOG if stopped else None), images
        assert pressure.against_images() is None


@given(some.lists(some.integers(0, 1000), min_size=1, max_size=50))
def test_it_never_takes_below_stop_nor_refuses_above_resume(levels: list[int]) -> None:
    disk = Disk()
    pressure = disk.pressure(disk_warn="20%", disk_stop="10%", disk_resume="15%")
    before = None
    for free in levels:
        now = disk.at(pressure, free)
        if free < 100:
            assert now is Because.DISK
        elif free >= 150:
            assert now is None
        else:
            assert now is before
        before = now


@pytest.mark.parametrize(
    "wrong",
    [{"disk_stop": "50%%"}, {"disk_stop": "100%"}, {"disk_stop": "-1%"}, {"disk_warn": "much"},
     {"disk_stop": "6%", "disk_resume": "5%"}, {"disk_stop": "6GB", "disk_resume": "5GB"},
     {"backlog_stop": 10, "backlog_resume": 11}],
)  # fmt: skip
def test_marks_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


def test_marks_are_shown_as_they_are_written() -> None:
    assert [str(Mark(percent=2.5)), str(Mark(size=7))] == ["2.5%", "7B"]
