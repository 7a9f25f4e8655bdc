"""Invented patients, and the hospital that examined them."""

import random
from dataclasses import dataclass

_GIVEN = ("Kari", "Olav", "Ingrid", "Bjørn", "Solveig", "Håkon", "Åse", "Leif", "Tuva", "Øystein")
_FAMILY = ("Nordahl", "Bakkevik", "Sørlie", "Haugland", "Tveitane", "Årdal", "Mjelde", "Røyrvik")
_DOCTORS = ("Vik^Astrid", "Langeland^Torstein", "Ødegård^Mona", "Fjeldstad^Arne")
_HOSPITALS = ("Vestfjord sykehus", "Nordnes universitetssykehus", "Storlien klinikk")
_STREETS = ("Fjellveien", "Strandgata", "Kirkebakken", "Myrlia")


@dataclass(frozen=True)
class Person:
    """Everything about a patient that must not leave the clinic."""

    name: str
    patient_id: str
    birth_date: str
    sex: str
    address: str
    phone: str
    accession_number: str
    study_id: str
    referring_physician: str
    operator: str
    institution: str
    station: str

    @property
    def secrets(self) -> list[str]:
        """The texts by which the person could be recognised."""
        names = [part for name in (self.name, self.referring_physician, self.operator)
                 for part in name.split("^")]  # fmt: skip
        return [*names, self.patient_id, self.birth_date, self.address, self.phone,
                self.accession_number, self.study_id, self.institution, self.station]  # fmt: skip


def invent(rng: random.Random) -> Person:
    """A person who does not exist."""
    year, month, day = rng.randint(1931, 2005), rng.randint(1, 12), rng.randint(1, 28)
    return Person(
        name=f"{rng.choice(_FAMILY)}^{rng.choice(_GIVEN)}",
        patient_id=f"{day:02}{month:02}{year % 100:02}{rng.randint(10000, 99999)}",
        birth_date=f"{year}{month:02}{day:02}",
        sex=rng.choice("FM"),
        address=f"{rng.choice(_STREETS)} {rng.randint(1, 250)}, {rng.randint(5003, 5899)} Bergen",
        phone=f"+47 9{rng.randint(1000000, 9999999)}",
        accession_number=f"AN{rng.randint(10**9, 10**10 - 1)}",
        study_id=f"SID{rng.randint(10**6, 10**7 - 1)}",
        referring_physician=rng.choice(_DOCTORS),
        operator=rng.choice(_DOCTORS),
        institution=rng.choice(_HOSPITALS),
        station=f"LAB{rng.randint(10, 99)}STN",
    )
