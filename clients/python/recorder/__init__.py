"""Client for Recorder, the call-recording service. The generated stubs are in `recorder.v1`."""
