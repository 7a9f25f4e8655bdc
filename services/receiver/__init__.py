"""Receiver: the DICOM door. An image is on the disk, synced, before the sender hears "success"."""
