"""The five dashboards."""

from collections.abc import Callable

from grafana_foundation_sdk.builders.dashboard import Dashboard
from helm.dashboards.panels import NODES, Figure, Graph, Query, build, quantiles, rates

_AVAILABLE = "recorder_hangup_to_available_seconds"
_LIVE = Figure("Live recordings", f"sum(recorder_live_recordings{{{NODES}}})", "short", "Without their last state.")
_LOST = Figure(
    "Acknowledged entries lost",
    f"sum(recorder_recovery_lost_entries{{{NODES}}})",
    "short",
    "What the last starts could not read back though it had been acknowledged. Anything but 0 is an incident.",
    bad_from=1,
)
_OUTAGE = Figure(
    "Room if the store went away now",
    f"sum(recorder_disk_room_bytes{{{NODES}}}) / clamp_min("
    f"sum(rate(recorder_journal_written_bytes_total{{{NODES}}}[$__rate_interval]))"
    f" + sum(rate(recorder_stored_bytes_total{{{NODES}}}[$__rate_interval])), 1)",
    "s",
    "Disk above the hard mark, divided by what journals and files grow by at this load if nothing can be released.",
)
_LEFT = Figure(
    "Disk left",
    f"min(recorder_disk_left_seconds{{{NODES}}})",
    "s",
    "How long the fullest node's disk lasts if it goes on filling as in the last 15 minutes; at most 30 days.",
    bad_below=14_400,
)


def overview() -> Dashboard:
    """Return whether calls are safe, at a glance."""
    return build(
        "recorder-overview",
        "Recorder / Overview",
        "Whether calls are safe, at a glance.",
        [
            _LIVE,
            Figure(
                "Nodes ready",
                f"sum(1 - max by (instance) (recorder_unready{{{NODES}}}))",
                "short",
                "Nodes that take new calls.",
                bad_below=1,
            ),
            Figure(
                "Available within 1 s",
                f'sum(rate({_AVAILABLE}_bucket{{{NODES}, le="1.0"}}[1h]))'
                f" / sum(rate({_AVAILABLE}_count{{{NODES}}}[1h]))",
                "percentunit",
                "Share of recordings whose file was there within a second of the hang-up, over an hour. Goal: 99 %.",
                bad_below=0.99,
            ),
            _LOST,
            _LEFT,
        ],
        [
            Graph(
                "Live recordings",
                [Query(f"sum by (kind) (recorder_live_recordings{{{NODES}}})", "{{kind}}")],
                "short",
                "Recordings without their last state.",
            ),
            Graph(
                "Recordings ended, by outcome",
                rates("recorder_recordings_total", "outcome"),
                "reqps",
                "Empty ones got no audio; failed ones keep theirs in the journal.",
            ),
            Graph(
                "What ended them",
                rates("recorder_recordings_total", "reason"),
                "reqps",
                "Interrupted: a line was lost.",
            ),
            Graph(
                "Hang-up to available",
                quantiles(_AVAILABLE),
                "s",
                "From what ended a recording until its file, event and webhook were committed.",
            ),
            Graph(
                "Acknowledgement latency",
                quantiles("recorder_ack_latency_seconds"),
                "s",
                "From receiving a message until it is durable.",
            ),
            Graph(
                "Refusals", rates("recorder_admission_refusals_total", "reason"), "reqps", "RPCs there was no room for."
            ),
            Graph("RPCs by status", rates("recorder_grpc_requests_total", "code"), "reqps", "RPCs that ended."),
            Graph(
                "Audio received",
                [Query(f"sum(rate(recorder_audio_received_seconds_total{{{NODES}}}[$__rate_interval]))", "all legs")],
                "short",
                "Seconds of audio a second: as many as legs speak in real time.",
            ),
        ],
    )


def durability() -> Dashboard:
    """Return what stands between a received message and its safety."""
    journal = [
        Query(f"sum by (instance) (recorder_journal_bytes{{{NODES}}})", "{{instance}}"),
    ]
    return build(
        "recorder-durability",
        "Recorder / Durability",
        "What stands between a message that was received and its safety on disk.",
        [
            _LOST,
            Figure(
                "Damaged stretches",
                f"sum(recorder_recovery_damaged_ranges{{{NODES}}})",
                "short",
                "Stretches of journals that the last starts found damaged.",
                bad_from=1,
            ),
            Figure(
                "Recordings brought back",
                f"sum(recorder_recovery_recordings{{{NODES}}})",
                "short",
                "By the last start of each node.",
            ),
            Figure(
                "Slowest recovery",
                f"max(recorder_recovery_seconds{{{NODES}}})",
                "s",
                "Reading the journal at the last start.",
            ),
        ],
        [
            Graph(
                "Receive to durable", quantiles("recorder_ack_latency_seconds"), "s", "Nothing is acknowledged earlier."
            ),
            Graph(
                "Write and fdatasync",
                quantiles("recorder_journal_fsync_seconds"),
                "s",
                "Of one group: the disk's share.",
            ),
            Graph("Journal", journal, "bytes", "Grows while files cannot be stored; a live call keeps its segments."),
            Graph(
                "Oldest recording in the journal",
                [
                    Query(
                        f"max by (instance) (recorder_journal_oldest_unreleased_age_seconds{{{NODES}}})", "{{instance}}"
                    )
                ],
                "s",
                "As old as the longest call that runs, and older while files cannot be stored.",
            ),
            Graph("Written to the journal", rates("recorder_journal_written_bytes_total"), "Bps", "All nodes."),
            Graph(
                "Waiting for the disk",
                [Query(f"sum by (instance) (recorder_journal_queued_bytes{{{NODES}}})", "{{instance}}")],
                "bytes",
                "Accepted and not yet durable; senders are slowed down from 16 MiB on.",
            ),
            Graph(
                "Audio that is missing or came for nothing",
                [
                    Query(f"sum(rate(recorder_audio_{kind}_seconds_total{{{NODES}}}[$__rate_interval]))", kind)
                    for kind in ("gap", "late", "repeated")
                ],
                "short",
                "Seconds a second, over all legs. Gaps are filled with silence.",
            ),
            Graph(
                "Errors of the journal's disk",
                rates("recorder_journal_rewrites_total", "instance"),
                "reqps",
                "Groups that had to be written again.",
            ),
        ],
    )


def storage() -> Dashboard:
    """Return how files get into the store and out of it."""
    return build(
        "recorder-storage",
        "Recorder / Storage",
        "How files get into the store and out of it.",
        [
            Figure(
                "Files that wait",
                f"sum(recorder_spool_waiting_files{{{NODES}}})",
                "short",
                "Finished, not yet stored.",
            ),
            Figure(
                "Oldest of them",
                f"max(recorder_spool_oldest_age_seconds{{{NODES}}})",
                "s",
                "An alert comes after 15 minutes.",
                bad_from=900,
            ),
            _OUTAGE,
            _LEFT,
        ],
        [
            Graph(
                "Operations", quantiles("recorder_store_operation_seconds", "operation"), "s", "Failed ones included."
            ),
            Graph(
                "Failures",
                rates("recorder_store_failures_total", "operation"),
                "reqps",
                "Each is tried again, for ever.",
            ),
            Graph("Failures by reason", rates("recorder_store_failures_total", "reason"), "reqps", "As on the wire."),
            Graph("Stored", rates("recorder_stored_bytes_total"), "Bps", "Bytes of finished files."),
            Graph(
                "Spool",
                [Query(f"sum by (instance) (recorder_spool_bytes{{{NODES}}})", "{{instance}}")],
                "bytes",
                "Files under construction and files that wait.",
            ),
            Graph(
                "Free disk above the hard mark",
                [Query(f"min by (instance) (recorder_disk_room_bytes{{{NODES}}})", "{{instance}}")],
                "bytes",
                "At 0 recordings are ended.",
            ),
            Graph("Downloads", rates("recorder_downloads_total", "outcome"), "reqps", "Over HTTP."),
            Graph("Downloaded", rates("recorder_download_bytes_total"), "Bps", "Over HTTP."),
        ],
    )


def webhooks() -> Dashboard:
    """Return how applications hear of recordings."""
    return build(
        "recorder-webhooks",
        "Recorder / Webhooks and events",
        "How applications hear of recordings.",
        [
            Figure(
                "Waiting deliveries",
                f"max(recorder_webhook_pending_deliveries{{{NODES}}})",
                "short",
                "In the catalog, of all nodes; counted up to 10 000.",
            ),
            Figure(
                "Oldest undelivered",
                f"max(recorder_webhook_oldest_undelivered_age_seconds{{{NODES}}})",
                "s",
                "One dead endpoint is enough to make it old: look at the number beside it.",
            ),
            Figure(
                "Given up",
                f'sum(increase(recorder_webhook_deliveries_total{{{NODES}, outcome="given_up"}}[1h]))',
                "short",
                "In an hour. They can be sent again with RedeliverWebhook.",
            ),
            Figure("Event subscribers", f"sum(recorder_event_subscribers{{{NODES}}})", "short", "Open subscriptions."),
        ],
        [
            Graph(
                "Tries by outcome", rates("recorder_webhook_attempts_total", "outcome"), "reqps", "Of single requests."
            ),
            Graph(
                "Tries by status", rates("recorder_webhook_attempts_total", "status"), "reqps", "none: no answer came."
            ),
            Graph("One try", quantiles("recorder_webhook_attempt_seconds"), "s", "Up to its answer; 15 s at most."),
            Graph("Deliveries ended", rates("recorder_webhook_deliveries_total", "outcome"), "reqps", "For good."),
            Graph(
                "Event feed lag",
                quantiles("recorder_event_feed_lag_seconds"),
                "s",
                "From a fact until a subscriber that is up to date has it.",
            ),
            Graph("Events sent", rates("recorder_events_sent_total"), "reqps", "To all subscribers."),
        ],
    )


def capacity() -> Dashboard:
    """Return how much of the machines is used."""
    cpu = f"sum by (instance) (rate(process_cpu_seconds_total{{{NODES}}}[$__rate_interval]))"
    busy = f"sum by (instance) (rate(recorder_render_seconds_total{{{NODES}}}[$__rate_interval]))"
    return build(
        "recorder-capacity",
        "Recorder / Capacity",
        "How much of the machines is used, and by what.",
        [
            _LIVE,
            Figure("Legs", f"sum(recorder_live_legs{{{NODES}}})", "short", "Of the live recordings."),
            Figure(
                "CPU per live recording",
                f"sum(rate(process_cpu_seconds_total{{{NODES}}}[$__rate_interval]))"
                f" / clamp_min(sum(recorder_live_recordings{{{NODES}}}), 1)",
                "percentunit",
                "Of one core. 1 % of a core is 36 CPU seconds an hour.",
            ),
            _OUTAGE,
        ],
        [
            Graph("CPU", [Query(cpu, "{{instance}}")], "short", "Cores."),
            Graph(
                "Render threads busy",
                [Query(f"{busy} / sum by (instance) (recorder_render_threads{{{NODES}}})", "{{instance}}")],
                "percentunit",
                "Near 100 % files are late: raise RECORDER_RENDER_THREADS if there are cores left.",
            ),
            Graph(
                "Encoding and the rest of rendering",
                [
                    Query(f"sum(rate(recorder_encoder_seconds_total{{{NODES}}}[$__rate_interval]))", "encoder"),
                    Query(f"sum(rate(recorder_render_seconds_total{{{NODES}}}[$__rate_interval]))", "all rendering"),
                ],
                "short",
                "Seconds a second.",
            ),
            Graph(
                "Event loop lag",
                quantiles("recorder_event_loop_lag_seconds", "instance"),
                "s",
                "Receiving and acknowledging wait at least that long.",
            ),
            Graph(
                "Memory",
                [
                    Query(f"sum by (instance) (process_resident_memory_bytes{{{NODES}}})", "{{instance}}"),
                    Query(
                        f"sum by (instance) (recorder_render_resident_memory_bytes{{{NODES}}})",
                        "render processes of {{instance}}",
                    ),
                ],
                "bytes",
                "Resident.",
            ),
            Graph(
                "Open files",
                [
                    Query(f"sum by (instance) (process_open_fds{{{NODES}}})", "{{instance}}"),
                    Query(f"min by (instance) (process_max_fds{{{NODES}}})", "most {{instance}}"),
                ],
                "short",
                "Descriptors.",
            ),
            Graph("RPCs by method", rates("recorder_grpc_requests_total", "method"), "reqps", "RPCs that ended."),
            Graph(
                "Versions",
                [Query(f"count by (version) (recorder_build_info{{{NODES}}})", "{{version}}")],
                "short",
                "Processes by version.",
            ),
        ],
    )


BOARDS: dict[str, Callable[[], Dashboard]] = {
    "overview": overview,
    "durability": durability,
    "storage": storage,
    "webhooks": webhooks,
    "capacity": capacity,
}
