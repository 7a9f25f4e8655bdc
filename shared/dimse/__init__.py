"""DICOM's network protocol below the services: PDUs, and DIMSE messages in them (PS3.7, PS3.8)."""
