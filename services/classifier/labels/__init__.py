"""What an image is: rules as data, and the labels that they give to a series.

Knows neither bus, nor HTTP, nor database. See docs/classification.md.
"""

from services.classifier.labels.checks import RulesError
from services.classifier.labels.evaluate import Classifier, SeriesState
from services.classifier.labels.facts import FACTS, Facts, HeaderFacts
from services.classifier.labels.fiona import load_fiona
from services.classifier.labels.format import load_rules
from services.classifier.labels.hospital import hospital_rules, hospital_texts, rules_of
from services.classifier.labels.language import Field, RuleSet

__all__ = [
    "FACTS",
    "Classifier",
    "Facts",
    "Field",
    "HeaderFacts",
    "RuleSet",
    "RulesError",
    "SeriesState",
    "hospital_rules",
    "hospital_texts",
    "load_fiona",
    "load_rules",
    "rules_of",
]
