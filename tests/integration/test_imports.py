"""Imports from the first file to the transfer: CDs, folders and ZIPs."""

import copy
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from demo.phantoms import Maker
from shared.admission import Way
from shared.clock import now
from shared.ledger.tables import (
    Association,
    Delivery,
    ImportStudy,
    Instance,
    Participant,
    Study,
    Transfer,
    WithdrawnStudy,
    core,
)
from shared.runtime import Runtime
from tests.helpers import part10, rows
from tests.importing import (
    Uploader,
    bring_all,
    catalogue,
    cd,
    codes,
    nothing_is_left,
    one_image,
    read_all,
    reviewed,
    staged,
    uid,
    zipped,
)
from tests.integration.test_api_fixtures import PROJECT, RULE, TRANSFER, Api, receive

pytest_plugins = ["tests.integration.test_api_fixtures"]


@pytest.fixture
def up(client: httpx.AsyncClient) -> Uploader:
    return Uploader(client)


async def test_a_cd_comes_into_the_project(
    any_runtime: Runtime,
    api: Api,
    up: Uploader,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    ct, mr = Maker(1, size=16).ct(3).instances, Maker(2, size=16).mr(2).instances
    files = cd(tmp_path / "cd", [*ct, *mr])
    import_id, review = await reviewed(any_runtime, api, up, files, note="CD from Bergen")
    read = await api("GET", f"/imports/{import_id}", 200)
    assert (read["state"], read["note"]) == ("review", "CD from Bergen")
    assert read["progress"]["files_read"] == len(files)
    assert read["progress"]["bytes_received"] == sum(map(len, files.values()))
    assert read["found"] == review["found"]
    assert review["found"] == {
        "images": len(ct) + len(mr), "duplicates": 0, "ignored": 3, "listings": 1, "missing": 0,
        "unreadable": 0, "refused": 0,
    }  # fmt: skip
    by_uid = {one["study_instance_uid"]: one for one in review["studies"]}
    found = by_uid[uid(ct)]
    assert (found["patient_name"], found["patient_id"]) == (
        str(ct[0].PatientName), ct[0].PatientID,
    )  # fmt: skip
    assert (found["modalities"], found["images"], found["series"]) == (["CT"], 3, 1)
    assert (found["study_date"], found["study_id"]) == (ct[0].StudyDate, None)
    assert codes(review) == {"several-patients"} and not codes(found)
    chosen = {"studies": [uid(ct)], "participant": "BICAM_001", "event": "v1", "site": "Førde"}
    accepted = await api("POST", f"/imports/{import_id}/accept", 202, chosen)
    assert accepted["state"] == "bringing"
    await bring_all(any_runtime)
    await catalogue(any_runtime)
    done = await api("GET", f"/imports/{import_id}", 200)
    (transfer,) = await rows(any_runtime, Transfer)
    (study,) = await rows(any_runtime, Study)
    assert done["state"] == "accepted" and done["quarantined"] == 0
    assert done["studies"] == [
        {"study_instance_uid": uid(ct), "study_id": study.id, "transfer_id": transfer.id,
         "refusal": None}
    ]  # fmt: skip
    assert done["found"] == review["found"] and done["progress"] == read["progress"]
    assert (transfer.requested_by, transfer.event, transfer.site) == (Way.IMPORT, "v1", "Førde")
    (participant,) = await rows(any_runtime, Participant)
    assert participant.pseudonym == "BICAM_001"
    assert len(await rows(any_runtime, Delivery, transfer_id=transfer.id)) == 3
    (sender,) = await rows(any_runtime, Association)
    assert (sender.calling_aet, sender.called_aet, sender.completed) == ("IMPORT", "SLUSE", True)
    await nothing_is_left(any_runtime)
    assert any_runtime.spool.waiting_associations() == []
    said = "".join(capfd.readouterr())
    assert "import read" in said and "import brought in" in said
    for secret in (ct[0].PatientID, ct[0].PatientName.family_name, "viewer", uid(mr)):
        assert secret not in said


async def test_sluse_chooses_the_participant_of_each_patient(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    await api("POST", "/projects", 201, PROJECT | {"participant_pattern": "BICAM_{n:3}"})
    one, two = Maker(1, size=16).ct(1).instances, Maker(2, size=16).ct(2).instances
    files = {f"a/{n}": part10(image) for n, image in enumerate([*one, *two])}
    import_id, _ = await reviewed(any_runtime, api, up, files)
    body = {"studies": [uid(one), uid(two)], "event": "v1"}
    await api("POST", f"/imports/{import_id}/accept", 202, body)
    await bring_all(any_runtime)
    await catalogue(any_runtime)
    found = {one.pseudonym for one in await rows(any_runtime, Participant)}
    assert found == {"BICAM_001", "BICAM_002"}
    assert len(await rows(any_runtime, Delivery)) == 3


async def test_a_zip_is_unpacked_and_its_duplicates_are_taken_once(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    images = Maker(1, size=16).ct(3).instances
    whole = [part10(one) for one in images]
    files = {
        "export.zip": zipped({"p/1.dcm": whole[0], "p/2": whole[1], "p/readme.txt": b"hello",
                              "p/again": whole[0], "p/": b""}),
        "beside/3.dcm": whole[2],
        "beside/2 copy.dcm": whole[1],
        "beside/empty": b"",
    }  # fmt: skip
    import_id, review = await reviewed(any_runtime, api, up, files)
    assert review["found"] | {"images": 3, "duplicates": 2, "ignored": 2} == review["found"]
    items = (await api("GET", f"/imports/{import_id}/items?kind=duplicate", 200))["items"]
    assert {one["path"] for one in items} == {"export.zip: p/again", "beside/2 copy.dcm"}
    # Neither the ZIP nor what is there twice is kept: only the three images and their folder.
    assert len(staged(any_runtime)) == 4
    await api("POST", f"/imports/{import_id}/accept", 202,
              {"studies": [uid(images)], "participant": "BICAM_001", "event": "v1"})  # fmt: skip
    await bring_all(any_runtime)
    await catalogue(any_runtime)
    assert len(await rows(any_runtime, Instance)) == 3
    await nothing_is_left(any_runtime)


async def test_what_a_dicomdir_names_and_is_not_there_is_missing_until_it_is_added(
    any_runtime: Runtime, api: Api, up: Uploader, tmp_path: Path
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    images = Maker(1, size=16).ct(3).instances
    files = cd(tmp_path / "cd", list(images))
    second = [path for path in files if path.startswith("CD/PT")][2]
    first = {path: content for path, content in files.items() if path != second}
    import_id, review = await reviewed(any_runtime, api, up, first)
    assert review["found"]["missing"] == 1 and codes(review) == {"missing"}
    (item,) = (await api("GET", f"/imports/{import_id}/items?kind=named", 200))["items"]
    assert second.endswith(item["path"]) and "not here" in item["why"]
    # The same folder again, now with the file: only what is new is sent.
    assert await up.upload(import_id, files) == len(files[second])
    await up.finish(import_id)
    await read_all(any_runtime)
    review = await api("GET", f"/imports/{import_id}/review", 200)
    assert review["found"]["missing"] == 0 and review["found"]["images"] == 3
    assert not review["warnings"]


async def test_the_review_warns(any_runtime: Runtime, api: Api, up: Uploader) -> None:
    await api("POST", "/projects", 201, PROJECT)
    # They share their elements, as they come from the maker.
    images = [copy.deepcopy(one) for one in Maker(1, size=16).ct(3).instances]
    await receive(any_runtime, images[:1])
    await api("POST", "/transfers", 201, TRANSFER | {"study_instance_uid": uid(images)})
    images[1].BurnedInAnnotation = "YES"
    images[2].PatientID, images[2].PatientName = "another", "Another^One"
    changed = part10(images[1]).replace(b"CHEST ", b"THORAX")
    files = {
        "1": part10(images[0]), "2": part10(images[1]), "2b": changed, "3": part10(images[2]),
        "4": part10(images[0])[:-7], "5": bytes(128) + b"DICM" + bytes(50), "6.zip": b"PK\x03\x04",
    }  # fmt: skip
    import_id, review = await reviewed(
        any_runtime, api, up, files, participant="BICAM_002", event="v1"
    )
    assert codes(review) == {"unreadable", "refused"}
    (study,) = review["studies"]
    assert codes(study) == {
        "study-here", "study-assigned", "known-as-another", "burned-in", "repeated",
        "several-patients",
    }  # fmt: skip
    assert (study["images_here"], study["known_as"]) == (1, ["BICAM_001"])
    assert study["assigned"]["participant"] == "BICAM_001"
    refused = f"/imports/{import_id}/accept"
    wanted = {"studies": [uid(images)]}
    await api.refused(refused, wanted, "participant", "studies")
    await api.refused(refused, wanted | {"studies": ["1.2.3"]}, "studies")
    await api.refused(refused, wanted | {"participant": "x", "event": "y"},
                      "participant", "event", "studies")  # fmt: skip
    assert await rows(any_runtime, ImportStudy, accepted_at=None)


async def test_what_is_assigned_already_stays_as_it_is(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    images = list(Maker(1, size=16).ct(2).instances)
    await receive(any_runtime, images[:1])
    made = await api("POST", "/transfers", 201, TRANSFER | {"study_instance_uid": uid(images)})
    files = {str(n): part10(image) for n, image in enumerate(images)}
    import_id, review = await reviewed(
        any_runtime, api, up, files, participant="BICAM_001", event="v1", site="Førde"
    )
    assert codes(review["studies"][0]) == {"study-here"}
    await api("POST", f"/imports/{import_id}/accept", 202, {"studies": [uid(images)]})
    await bring_all(any_runtime)
    await catalogue(any_runtime)
    done = await api("GET", f"/imports/{import_id}", 200)
    assert done["studies"][0]["transfer_id"] == made["id"]
    assert len(await rows(any_runtime, Transfer)) == 1
    assert len(await rows(any_runtime, Instance)) == 2


async def test_what_the_gate_refuses_in_the_end_is_told(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    images = Maker(1, size=16).ct(1).instances
    import_id, _ = await reviewed(any_runtime, api, up, {"1": part10(images[0])})
    body = {"studies": [uid(images)], "participant": "BICAM_001", "event": "v1"}
    await api("POST", f"/imports/{import_id}/accept", 202, body)
    await bring_all(any_runtime)
    await api("PATCH", "/projects/BICAM", 200, {"state": "closed"})
    await catalogue(any_runtime)
    (outcome,) = (await api("GET", f"/imports/{import_id}", 200))["studies"]
    assert outcome["study_id"] and outcome["transfer_id"] is None
    assert "not active" in outcome["refusal"]


async def test_a_withdrawn_study_is_not_taken(any_runtime: Runtime, api: Api, up: Uploader) -> None:
    import_id, body = await one_image(any_runtime, api, up)
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(WithdrawnStudy)).values(
                study_instance_uid=body["studies"][0], withdrawn_at=now()
            )
        )
    review = await api("GET", f"/imports/{import_id}/review", 200)
    assert codes(review["studies"][0]) == {"withdrawn"}
    await api.refused(f"/imports/{import_id}/accept", body, "studies")


async def test_several_patients_of_one_participant_are_confirmed_first(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    await api("POST", "/projects", 201, PROJECT)
    images = [*Maker(1, size=16).ct(1).instances, *Maker(2, size=16).ct(1).instances]
    files = {str(n): part10(image) for n, image in enumerate(images)}
    import_id, review = await reviewed(any_runtime, api, up, files, participant="BICAM_001")
    body = {"studies": [one["study_instance_uid"] for one in review["studies"]], "event": "v1"}
    await api.refused(f"/imports/{import_id}/accept", body, "participant")
    await api("POST", f"/imports/{import_id}/accept", 202, body | {"confirmed": True})
    await api("POST", f"/imports/{import_id}/accept", 409, body | {"confirmed": True})
    await bring_all(any_runtime)
    await catalogue(any_runtime)
    assert len(await rows(any_runtime, Transfer)) == 2
    (participant,) = await rows(any_runtime, Participant)
    assert participant.pseudonym == "BICAM_001"


async def test_what_the_person_says_goes_before_a_rule(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    import_id, body = await one_image(any_runtime, api, up)
    await api("POST", "/projects", 201, PROJECT | {"code": "OTHER", "number": "P20_02",
                                                   "participant_pattern": ".*"})  # fmt: skip
    rule = RULE | {"called_aet": None, "calling_aet": "IMPORT", "patient_id_pattern": "."}
    await api("POST", "/routing-rules", 201, rule | {"event": "v2"})
    await api("POST", "/routing-rules", 201, rule | {"name": "too", "project": "OTHER"})
    await api("POST", f"/imports/{import_id}/accept", 202, body)
    await bring_all(any_runtime)
    await catalogue(any_runtime)
    mine, other = await rows(any_runtime, Transfer)
    assert (mine.requested_by, mine.event, mine.rule_id) == (Way.IMPORT, "v1", None)
    assert other.requested_by == Way.RULE


async def test_a_study_that_was_taken_out_comes_back_when_it_is_imported(
    any_runtime: Runtime, api: Api, up: Uploader
) -> None:
    import_id, body = await one_image(any_runtime, api, up)
    images = list(Maker(1, size=16).ct(1).instances)
    await receive(any_runtime, images)
    made = await api("POST", "/transfers", 201, TRANSFER | {"study_instance_uid": uid(images)})
    await api("POST", f"/transfers/{made['id']}/cancel", 200)
    await api("POST", f"/imports/{import_id}/accept", 202, body)
    await bring_all(any_runtime)
    await catalogue(any_runtime)
    _, again = await rows(any_runtime, Transfer)
    assert again.requested_by == Way.IMPORT
    assert len(await rows(any_runtime, Instance)) == 1
    # The wish is met once: what comes later does not revive what a person has ended.
    await api("POST", f"/transfers/{again.id}/cancel", 200)
    await receive(any_runtime, images)
    assert len(await rows(any_runtime, Transfer)) == 2
