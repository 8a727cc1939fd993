"""Words of the service as values: recordings, options, applications, events, deliveries. No I/O, no libraries."""
