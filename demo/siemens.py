"""Writes Siemens CSA headers (the "SV10" form), as their MR scanners do in private elements."""

import struct

_UNUSED = 77


def csa_header(entries: dict[str, tuple[str, list[str]]]) -> bytes:
    """A CSA2 header of `{name: (vr, values)}`."""
    parts = [b"SV10\4\3\2\1", struct.pack("<2I", len(entries), _UNUSED)]
    for name, (vr, values) in entries.items():
        parts.append(
            struct.pack(
                "<64si4siii", name.encode(), len(values), vr.encode(), 0, len(values), _UNUSED
            )
        )
        for value in values:
            data = value.encode("latin-1") + b"\0"
            parts.append(struct.pack("<4i", len(data), len(data), _UNUSED, len(data)))
            parts.append(data + bytes(-len(data) % 4))
    return b"".join(parts)
