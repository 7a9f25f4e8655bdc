"""Anonymizer: a plan and an original give a de-identified copy, or a finding for a person."""
