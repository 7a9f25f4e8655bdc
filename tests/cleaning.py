"""What the tests of the cleaning of single values have in common."""

import re

from pydicom import Dataset

from demo.people import Person
from demo.phantoms import Maker
from services.anonymizer.engine.tokens import Tokens
from shared.identity import keyed_uid

KEY = bytes(32)
DAYS = 40


class WordSweep:
    """Replaces given words."""

    def __init__(self, words: list[str]) -> None:
        either = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
        self._text = re.compile(either or "(?!)")
        self._bytes = re.compile(either.encode("latin-1") or b"(?!)")

    def clean_text(self, text: str) -> str:
        return self._text.sub("P_1", text)

    def clean_bytes(self, raw: bytes) -> bytes:
        return self._bytes.sub(lambda found: b"X" * len(found[0]), raw)


def map_uid(uid: str) -> str:
    return uid if uid.startswith("2.25.") else keyed_uid(KEY, uid)


def words_of(person: Person) -> list[str]:
    """What the engine's sweep would look for."""
    names = [*person.name.split("^"), *person.operator.split("^")]
    names += person.referring_physician.split("^")
    return [*names, person.patient_id, person.accession_number, person.study_id,
            person.institution, person.station]  # fmt: skip


def image_of_a_person(seed: int = 1) -> tuple[Dataset, Person]:
    """A generated MR image without private elements, and whose it is."""
    study = Maker(seed, size=16).mr(1)
    image = study.instances[0]
    image.remove_private_tags()
    return image, study.person


def tokens_for(data_set: Dataset, person: Person, days: int = DAYS) -> Tokens:
    """The tokens of an object of `person`."""
    return Tokens(WordSweep(words_of(person)), map_uid, [str(data_set.StudyDate)], days)
