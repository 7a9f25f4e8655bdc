"""DICOMweb (PS3.18): STOW-RS in, QIDO-RS and WADO-RS over the originals that are held here."""
