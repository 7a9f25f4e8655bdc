"""Writes Siemens CSA headers, as their MR scanners do in private elements."""

import struct

_UNUSED = 77
_Entries = dict[str, tuple[str, list[str]]]


def csa_header(entries: _Entries) -> bytes:
    """A CSA2 header (the "SV10" form) of `{name: (vr, values)}`."""
    return b"SV10\4\3\2\1" + _tags(entries)


def csa1_header(entries: _Entries) -> bytes:
    """A CSA1 header, as scanners before software VB wrote it; its first two tags are empty."""
    empty: _Entries = {"EchoLinePosition": ("IS", []), "EchoColumnPosition": ("IS", [])}
    return _tags(empty | {name: entry for name, entry in entries.items() if name not in empty})


def _tags(entries: _Entries) -> bytes:
    parts = [struct.pack("<2I", len(entries), _UNUSED)]
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


def protocol(values: dict[str, str]) -> str:
    """A measurement protocol: XProtocol with `values` as its parameters, then ASCCONV."""
    parameters = "\n".join(
        f'      <ParamString."{name}">  {{ <Visible> "true" "{value}"  }}'
        for name, value in values.items()
    )
    return f"""<XProtocol>
{{
  <Name> "PhoenixMetaProtocol"
  <ID> 1000002
  <ParamMap."">
  {{
{parameters}
      <ParamLong."Count">  {{ 1  }}
      <ParamDouble."dTE">  {{ <Precision> 16 4.9200000000000008  }}
  }}
}}
### ASCCONV BEGIN ###
ulVersion                                = 0x14b44b6
tSequenceFileName                        = "%SiemensSeq%\\ep2d_diff"
sProtConsistencyInfo.tSystemSerialNumber = "{values["DeviceSerialNumber"]}"
sProtConsistencyInfo.tBaselineString     = "N4_VB17A_LATEST_20090307"
sSliceArray.asSlice[0].dThickness        = 5
alTE[0]                                  = 4920
sDiffusion.alBValue[1]                   = 1000
### ASCCONV END ###
"""
