package main

import (
	"math"
	"slices"
	"time"
)

// Report is what was seen.
type Report struct {
	// Calls tells of each call.
	Calls []CallTimes `json:"calls"`
	// Sent counts messages of audio, SentBytes their bytes, Acknowledged those of them the server has taken.
	Sent         int `json:"sent"`
	SentBytes    int `json:"sent_bytes"`
	Acknowledged int `json:"acknowledged"`
	// Late is how late this process itself was; Held how long the server let a message wait; Ack from sending a message
	// to the acknowledgement that covers it.
	Late Quantiles `json:"late_ms"`
	Held Quantiles `json:"held_ms"`
	Ack  Quantiles `json:"ack_ms"`
	// CPUSeconds is what this process used, user and system.
	CPUSeconds float64 `json:"cpu_s"`
}

// Quantiles of durations, ms.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func summarize(calls []*Call, cpuSeconds float64) *Report {
	report := &Report{Calls: make([]CallTimes, len(calls)), CPUSeconds: cpuSeconds}
	var late, held, waits []time.Duration
	for i, call := range calls {
		report.Calls[i] = call.times
		report.Sent += len(call.held)
		report.SentBytes += call.sentBytes
		report.Acknowledged += call.acked
		late = append(late, call.late...)
		held = append(held, call.held...)
		waits = append(waits, call.waits...)
	}
	report.Late, report.Held, report.Ack = quantilesOf(late), quantilesOf(held), quantilesOf(waits)
	return report
}

func quantilesOf(durations []time.Duration) Quantiles {
	if len(durations) == 0 {
		return Quantiles{}
	}
	slices.Sort(durations)
	at := func(share float64) float64 {
		index := int(math.Ceil(share*float64(len(durations)))) - 1
		return float64(durations[max(index, 0)].Microseconds()) / 1000
	}
	return Quantiles{P50: at(0.5), P99: at(0.99), Max: at(1)}
}
