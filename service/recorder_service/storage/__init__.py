"""File stores: where finished files live.

Every store keeps the same contract. Its users declare the part they need as a `typing.Protocol`; all of it is:

`async store(key, source, *, size_bytes, sha256)`
    Put the file `source` in place under `key`. On return it is durable as far as the store promises. Doing it again
    changes nothing. `source` is never changed in content and never removed. Raises `BadInput` (INVALID_FIELD: a key
    that is none), `Damaged` (the source is not what was promised), `Unavailable` (STORAGE_FAILED).
`async verify(key, *, size_bytes, sha256)`
    Read back what is stored and compare. Only after it may a local copy go. Raises `Damaged` (other bytes, or none at
    all), `Unavailable` (the store is away: nothing is known).
`async open(key, *, offset, length)`
    Return an asynchronous generator over exactly `length` bytes from `offset`, in chunks of 64 to 256 KiB (the last may
    be shorter). It ends with `Damaged` when the stored body is shorter, and never pads. Errors come from `open` itself
    or from the first `anext`; nothing is held before the first `anext`, and `aclose` or a cancel releases everything.
    Raises `NotFound` (FILE_NOT_FOUND), `Damaged`, `Unavailable`.
`async delete(key)`
    Remove the file; one that is not there is as good as removed. Raises `Unavailable`.
`async check()`
    Prove at start that the store can be written. Raises `StartupError`, which names the setting to change.
`async aclose()`
    Let go of threads and connections.

A key is a relative path such as `application/2026/11/22/<file id>.mp3`: see `object_keys`.
"""
