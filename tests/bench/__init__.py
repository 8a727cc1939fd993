"""What Recorder costs, and how fast it is, against floors and peers measured in the same run."""
