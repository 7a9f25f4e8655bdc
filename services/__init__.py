"""The five services: receiver, classifier, anonymizer, forwarder, api. None imports another."""

SERVICES = ("receiver", "classifier", "anonymizer", "forwarder", "api")
