"""The page about transfers draws the states and moves that there are."""

import re
from pathlib import Path

from shared.ledger.states import DELIVERY_MOVES, TRANSFER_MOVES

ROOT = Path(__file__).parents[2]


def test_the_diagrams_show_the_states_and_their_moves() -> None:
    text = (ROOT / "docs/transfers.md").read_text()
    transfers, deliveries = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    for drawn, moves in ((transfers, TRANSFER_MOVES), (deliveries, DELIVERY_MOVES)):
        arrows = set(re.findall(r"^ +(\w+) --> (\w+)", drawn, re.MULTILINE))
        assert arrows == {(str(a), str(b)) for a, targets in moves.items() for b in targets}
