"""What the service counts, as Prometheus reads it.

One module a subject. Names and units follow Prometheus' conventions; labels are bounded: never ids, numbers or digits.
Nothing is asked of a disk or a database while somebody reads: `looks.py` refreshes in the background.
"""
