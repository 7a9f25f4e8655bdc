"""Every service is killed at every step of its work; every image arrives all the same, once."""

import os
import random
from pathlib import Path

import pytest

from demo.phantoms import Maker, Study
from shared.faults import Point
from tests.chaos.account import require_all_delivered
from tests.chaos.system import KILLED, MODALITY, System, Watch

IMAGES = 24
_PER_IMAGE = (Point.RECEIVER_WRITTEN, Point.RECEIVER_KEPT)
_REQUESTED = (Point.CLASSIFIER_EXPANDED, Point.CLASSIFIER_ASSIGNED)
CONSUMERS = ("classifier", "anonymizer", "forwarder")
Cut = tuple[str, Point]
CUTS: list[Cut] = [
    (service, point)
    for point in Point
    for service in (CONSUMERS if point.startswith("bus.") else (point.partition(".")[0],))
]


def _chosen(chance: random.Random) -> list[Cut]:
    """All of them for `make chaos`, some for the suite."""
    return CUTS if "CHAOS_NIGHTS" in os.environ else chance.sample(CUTS, 4)


def test_a_power_cut_at_any_step_loses_nothing(
    system: System, chance: random.Random, seed: int, tmp_path: Path
) -> None:
    # Alone: the one that is to die gets the work.
    for worker in ("classifier#2", "anonymizer#2", "forwarder#2"):
        system.stop(worker)
    studies: dict[str, Study] = {}
    for number, (service, point) in enumerate(_chosen(chance)):
        participant = f"CUT{seed}_{number:02}"
        by_rule = point not in _REQUESTED
        study = Maker(seed * 1000 + number, size=32).ct(IMAGES, participant if by_rule else None)
        passing = chance.randint(1, IMAGES) if point in _PER_IMAGE else 1
        system.stop(service)
        system.start(service, fault=f"{point}:{passing}")
        with Watch(system, service) as watch:
            system.send(study, tmp_path / participant, MODALITY if by_rule else "CT1")
            if not by_rule:
                system.transfer(study.uid, participant)
        assert watch.code == KILLED, f"{service} was not stopped at {point}:{passing}"
        studies[participant] = study
        system.ended(len(studies), IMAGES * len(studies), 180)
    require_all_delivered(system, system.pacs, studies)


@pytest.mark.parametrize("point", Point)
def test_every_point_belongs_to_a_service(point: Point) -> None:
    assert point.partition(".")[0] in ("receiver", "bus", *CONSUMERS)
