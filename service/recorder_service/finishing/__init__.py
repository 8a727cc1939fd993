"""From the end of a recording to its file: spool -> store -> verify -> catalog -> release; and its removal."""
