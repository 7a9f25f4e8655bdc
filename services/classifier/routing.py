"""Which rule takes a study (2019 design: "trusted" senders).

A rule needs an AE title (the one called or the one calling, in full) *and* a pattern that the
PatientID or the PatientName matches from its start.
"""

from collections.abc import Iterable

from shared.ledger.tables import RoutingRule
from shared.patterns import matches_start
from shared.spool import Association


def matches(rule: RoutingRule, sender: Association, patient_id: str, patient_name: str) -> bool:
    """Whether `rule` takes images that came this way and carry these identifiers."""
    by_title = bool(rule.called_aet and rule.called_aet == sender.called_aet) or bool(
        rule.calling_aet and rule.calling_aet == sender.calling_aet
    )
    by_patient = bool(
        rule.patient_id_pattern and matches_start(rule.patient_id_pattern, patient_id)
    ) or bool(rule.patient_name_pattern and matches_start(rule.patient_name_pattern, patient_name))
    return rule.enabled and by_title and by_patient


def matching(
    rules: Iterable[RoutingRule],
    senders: Iterable[Association],
    patient_id: str,
    patient_name: str,
) -> list[RoutingRule]:
    """The rules that take images which `senders` brought: for each project the first that does."""
    found: dict[int, RoutingRule] = {}
    for rule in sorted(rules, key=lambda rule: (rule.priority, rule.id or 0)):
        if rule.project_id not in found and any(
            matches(rule, sender, patient_id, patient_name) for sender in senders
        ):
            found[rule.project_id] = rule
    return list(found.values())
